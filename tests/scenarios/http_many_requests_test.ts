/**
 * A thousand requests under way at one time, on fifty connections of HTTP/2 or on as many connections of HTTP/1.1 as
 * there are requests: at a stop and at the death of an upstream each of them ends as the same rules say.
 */
import { assertEquals } from "@std/assert";
import type { IncomingMessage, ServerResponse } from "node:http";
import { onBothProtocols } from "../gateway/both_sockets.ts";
import { storyClient } from "../gateway/clients.ts";
import { nodeUpstream } from "../gateway/gateway_fixture.ts";
import type { Http2Client } from "../gateway/http2_client.ts";
import type { Exchange, Protocol, StoryClient, WholeAnswer } from "../gateway/story_client.ts";
import { Control } from "../harness/control.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";

/** Groups of twenty requests: each on a connection of its own over HTTP/2, on twenty over HTTP/1.1. */
const GROUPS: Readonly<Record<Protocol, number>> = { "HTTP/1.1": 5, "HTTP/2": 50 };
/** This process is busy with all clients and upstreams, and late with answers to checks. */
const PATIENT = { h2c: true, "check-timeout": "20s" } as const;
/** Small enough to be kept for another upstream, and too large for it. */
const [SMALL, LARGE] = [20_000, 150_000];

interface Kind {
  readonly method: string;
  /** Bytes of its body; half of them are sent at first, unless it is only one. */
  readonly size: number;
  readonly count: number;
  /** Its status, if its upstream is killed before it has answered. */
  readonly afterKill: number;
}

const KINDS: readonly Kind[] = [
  { method: "GET", size: 0, count: 8, afterKill: 200 },
  { method: "POST", size: 1, count: 4, afterKill: 502 },
  { method: "PUT", size: SMALL, count: 4, afterKill: 200 },
  { method: "PUT", size: LARGE, count: 4, afterKill: 502 },
];

/** One request of the crowd. */
interface Member {
  readonly kind: Kind;
  readonly exchange: Exchange;
}

class Crowd implements Disposable {
  readonly clients: StoryClient[] = [];
  readonly members: Member[] = [];

  /** Begins all requests, and sends half of their bodies. */
  static async begin(
    { address }: WebProxy,
    protocol: Protocol,
    groups = GROUPS[protocol],
  ): Promise<Crowd> {
    const crowd = new Crowd();
    const port = Number(address.split(":")[1]);
    const open = async () => {
      const client = storyClient(await Deno.connect({ hostname: "127.0.0.1", port }), protocol);
      crowd.clients.push(client);
      return client;
    };
    for (let group = 0; group < groups; group++) {
      const shared = protocol === "HTTP/2" ? await open() : undefined;
      for (const kind of KINDS) {
        for (let i = 0; i < kind.count; i++) {
          crowd.members.push(await begun(shared ?? await open(), kind));
        }
      }
    }
    return crowd;
  }

  /** Sends the rest of all bodies, and reads all answers. */
  async finish(): Promise<readonly (readonly [Kind, WholeAnswer])[]> {
    return await Promise.all(this.members.map(async ({ kind, exchange }) => {
      const rest = kind.size > 1 ? kind.size / 2 : 0;
      // The answer may come before the end of the upload.
      const sending = exchange.send(new Uint8Array(rest)).then(() => exchange.end());
      const answer = await exchange.answer();
      await sending.catch(() => {});
      return [kind, answer] as const;
    }));
  }

  [Symbol.dispose](): void {
    for (const { conn } of this.clients) conn.close();
  }
}

async function begun(client: StoryClient, kind: Kind): Promise<Member> {
  const { method, size } = kind;
  const lines = size === 0 ? [] : [`Content-Length: ${size}`];
  const exchange = await client.begin(method, "/", lines, { hasBody: size > 0 });
  if (size > 0) await exchange.send(new Uint8Array(Math.max(1, size / 2)));
  if (size === 1) await exchange.end();
  return { kind, exchange };
}

/** An upstream that answers when it is released and the request has ended, with the size of its body. */
async function patientUpstream() {
  const seen: string[] = [];
  const gate = Promise.withResolvers<void>();
  let news = Promise.withResolvers<void>();
  let begun = 0;
  const server = await nodeUpstream(async (request, response) => {
    if (isCheck(request)) return void response.end();
    seen.push(request.method!);
    begun++;
    news.resolve();
    news = Promise.withResolvers();
    await answered(request, response, gate.promise);
  });
  return {
    ...server,
    seen,
    release: gate.resolve,
    /** Resolves when this many requests have begun. */
    async hasBegun(count: number): Promise<void> {
      while (begun < count) await news.promise;
    },
  };
}

function isCheck({ headers }: IncomingMessage): boolean {
  return headers.host === undefined || headers.via === undefined;
}

async function answered(request: IncomingMessage, response: ServerResponse, gate: Promise<void>) {
  let bytes = 0;
  request.on("data", (part) => bytes += part.length).on("error", () => {});
  await new Promise<void>((resolve) => request.on("end", resolve));
  await gate;
  response.end(String(bytes));
}

onBothProtocols(
  "a stop answers every request that was accepted, however many there are",
  async ({ relay, protocol }) => {
    await using upstream = await patientUpstream();
    const primary = { url: `http://127.0.0.1:${upstream.port}` };
    await using proxy = await startWebProxy({ primary, flags: { relay, ...PATIENT } });
    using crowd = await Crowd.begin(proxy, protocol);
    const all = crowd.members.length;
    await withTestDeadline("all requests", upstream.hasBegun(all), proxy.lastLines);
    proxy.signal("SIGTERM");
    await proxy.event("proxy.stopping");
    upstream.release();
    const answers = await withTestDeadline("all answers", crowd.finish(), proxy.lastLines);
    for (const [{ size }, { status, body, end }] of answers) {
      assertEquals([status, end], [200, "whole"], proxy.lastLines());
      assertEquals(body.includes(String(size)), true);
    }
    const ends = Promise.all(crowd.clients.map((client) => client.readToEnd()));
    assertEquals(new Set(await withTestDeadline("all ends", ends)), new Set(["ended"]));
    for (const client of protocol === "HTTP/2" ? crowd.clients as Http2Client[] : []) {
      assertEquals(client.goAway?.code, 0);
    }
    assertEquals(upstream.seen.length, all);
    assertEquals(await proxy.stop(), 0);
    assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
  },
);

onBothProtocols(
  "the death of an upstream repeats what may be repeated, and nothing else, however much there is",
  async ({ relay, protocol }) => {
    const first = await patientUpstream();
    await using second = await patientUpstream();
    second.release();
    const [primary, backup] = [first, second].map(({ port }) => ({
      url: `http://127.0.0.1:${port}`,
    }));
    await using proxy = await startWebProxy({
      primary: primary!,
      backups: [backup!],
      flags: { relay, ...PATIENT },
    });
    using crowd = await Crowd.begin(proxy, protocol);
    const all = crowd.members.length;
    await withTestDeadline("all requests", first.hasBegun(all), proxy.lastLines);
    await first[Symbol.asyncDispose]();
    await proxy.event("promotion.finished", { move: "failover" });
    await endsByTheRules(crowd, second.seen, proxy);
    if (protocol === "HTTP/2") await goesOn(crowd);
  },
);

/** Each answer is as `KINDS` says, and only what may be repeated has arrived at the second upstream, once. */
async function endsByTheRules(crowd: Crowd, seen: readonly string[], proxy: WebProxy) {
  const answers = await withTestDeadline("all answers", crowd.finish(), proxy.lastLines);
  const wrong = answers.filter(([{ afterKill }, { status }]) => status !== afterKill)
    .map(([{ method, size }, { status, end }]) => `${method} ${size}: ${status} ${end}`);
  assertEquals(wrong, []);
  const repeated = answers.filter(([{ afterKill }]) => afterKill === 200);
  for (const [{ size }, { body }] of repeated) assertEquals(body.includes(String(size)), true);
  assertEquals(seen.length, repeated.length);
  assertEquals(seen.filter((method) => method === "POST"), []);
}

/** Each connection serves another request. */
async function goesOn({ clients }: Crowd): Promise<void> {
  const asked = clients.map(async (client) => (await client.begin("GET", "/")).answer());
  const answers = await withTestDeadline("more answers", Promise.all(asked));
  assertEquals(new Set(answers.map(({ status }) => status)), new Set([200]));
}

onBothProtocols(
  "a switchover cuts what its old upstream has not answered in time, and the connections go on",
  async ({ relay, protocol }) => {
    await using first = await patientUpstream();
    await using second = await patientUpstream();
    second.release();
    const [primary, backup] = [first, second].map(({ port }) => ({
      url: `http://127.0.0.1:${port}`,
    }));
    await using control = await Control.make();
    await using proxy = await startWebProxy({
      primary: primary!,
      backups: [backup!],
      flags: { relay, ...PATIENT, control: control.path, "drain-timeout": "300ms" },
    });
    // A switchover needs an upstream that has passed a check.
    await proxy.event("upstream.up", { upstream: backup!.url });
    using crowd = await Crowd.begin(proxy, protocol, 5);
    const all = crowd.members.length;
    await withTestDeadline("all requests", first.hasBegun(all), proxy.lastLines);
    const order = `switchover?to=${backup!.url}&max_wait=100ms&wait=true`;
    assertEquals((await control.order(order))[0], 200);
    await proxy.event("sessions.cut", { upstream: primary!.url, count: all });
    await endsByTheRules(crowd, second.seen, proxy);
    if (protocol === "HTTP/2") await goesOn(crowd);
  },
);
