/**
 * Random exchanges, sent over HTTP/1.1 one after another, and over HTTP/2 many at one time: the upstream must see the
 * same requests, but for what the protocols themselves say, and the client the same responses. `FAILOVER_EXCHANGES=5000` runs more of them, and
 * `FAILOVER_SEED` one alone.
 */
import { assert, assertEquals } from "@std/assert";
import type { IncomingMessage } from "node:http";
import { type Network, Networks, parseNetwork } from "../../src/base/cidr.ts";
import { chosenSeed, Dice, seeds } from "../../src/base/testing/dice.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothSockets, type OnSockets } from "./both_sockets.ts";
import { type ExchangeCase, exchangeCase } from "./exchange_case.ts";
import { close, type GatewayFixture, nodeUpstream } from "./gateway_fixture.ts";
import { Http1Client } from "./http1_client.ts";
import { Http2Client } from "./http2_client.ts";
import type { Exchange, StoryClient } from "./story_client.ts";

const CASES = Number(Deno.env.get("FAILOVER_EXCHANGES") ?? 120);

/** Each character of two bytes as two characters: what the client of HTTP/2 sends for it. */
function asBytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** An upstream that answers each request as its case says, and tells by the case what it has read. */
async function answering() {
  const state = { cases: new Map<string, ExchangeCase>(), seen: new Map<string, unknown[]>() };
  const serve = (request: IncomingMessage) => {
    const { socket } = request;
    const number = String(request.headers["x-case"]);
    const plan = state.cases.get(number)!;
    if (/100-continue/i.test(request.headers.expect ?? "")) {
      socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    }
    socket.write(plan.interim);
    let body = "";
    request.on("data", (part) => body += part.toString("latin1"));
    request.on("error", () => {});
    request.on("end", () => {
      const seen = { ...requestOf(request), body };
      state.seen.set(number, [...state.seen.get(number) ?? [], seen]);
      const bytes = Uint8Array.from(asBytes(plan.response), (c) => c.charCodeAt(0));
      if (plan.closes) socket.end(bytes);
      else socket.write(bytes);
    });
  };
  const up = await nodeUpstream(() => {});
  up.server.removeAllListeners("request").on("request", serve).on("checkContinue", serve);
  return { state, port: up.port, [Symbol.asyncDispose]: () => up[Symbol.asyncDispose]() };
}

function pairs(raw: readonly string[]): string[] {
  return Array.from(
    { length: raw.length / 2 },
    (_, i) => `${raw[2 * i]!.toLowerCase()}: ${raw[2 * i + 1]}`,
  );
}

/** A request as its upstream sees it, without the differences of the protocols. */
function requestOf({ method, url, rawHeaders, rawTrailers }: IncomingMessage) {
  const all = pairs(rawHeaders);
  const cookies = all.filter((line) => line.startsWith("cookie: ")).map((line) => line.slice(8));
  const lines = all.filter((line) => !line.startsWith("cookie: "))
    .map((line) => line.replace(/^(via: .*)\b(1\.1|2\.0) failover-same$/, "$1own"))
    .map((line) => line.replace(/^x-request-id: .*/, "x-request-id: own"));
  // Cookies that come in several fields over HTTP/2 are one, RFC 9113 section 8.2.3.
  return { method, url, lines, cookie: cookies.join("; "), trailers: pairs(rawTrailers) };
}

/** A response as its client sees it, without the differences of the protocols. */
async function responseOf(asked: Exchange, decode: (text: string) => string) {
  const { status, interim, lines, body, trailers, end } = await asked.answer();
  const lower = (line: string) => decode(line).replace(/^[^:]*/, (name) => name.toLowerCase());
  const kept = lines.map(lower)
    .filter((line) => !/^(connection|keep-alive|transfer-encoding):/.test(line))
    .map((line) => line.replace(/^date: (?!.* 08:00:00 ).*/, "date: own"))
    .map((line) => line.replace(/^x-request-id: .*/, "x-request-id: own"));
  return {
    status,
    interim: interim.filter((each) => each !== 100),
    // Of a response without a `Date` ours may stand elsewhere.
    lines: kept.sort(),
    body,
    trailers: trailers.map(lower),
    end,
  };
}

/** How a client takes and gives text, where that is not one character for each byte. */
interface Coding {
  encode(text: string): string;
  decode(text: string): string;
}

const HTTP1: Coding = { encode: asBytes, decode: (text) => text };
const HTTP2: Coding = { encode: (text) => text, decode: asBytes };

/** One exchange; `number` is that of its case. */
async function exchange(
  client: StoryClient,
  { encode, decode }: Coding,
  number: number,
  { method, path, lines, body, trailers }: ExchangeCase,
) {
  const begun = { hasBody: body !== undefined };
  const all = [`X-Case: ${number}`, ...lines.map(encode)];
  const asked = await client.begin(method, encode(path), all, begun);
  const sending = (async () => {
    for (const part of body ?? []) if (part !== "") await asked.send(part);
    if (body !== undefined) await asked.end(trailers.map(encode));
  })();
  // A server that has refused the request may not read its body.
  const [response] = await Promise.all([responseOf(asked, decode), sending.catch(() => {})]);
  return response;
}

/** A client that is replaced after an exchange that may have ended its connection. */
class Renewed {
  #client: StoryClient | undefined;

  constructor(readonly make: () => Promise<StoryClient>, readonly coding: Coding) {}

  async ask(number: number, plan: ExchangeCase) {
    const client = this.#client ??= await this.make();
    const response = await exchange(client, this.coding, number, plan);
    if (response.status >= 400 || response.end !== "whole" || response.status === 0) this.close();
    return response;
  }

  close(): void {
    if (this.#client !== undefined) close(this.#client.conn);
    this.#client = undefined;
  }
}

async function connected(fixture: GatewayFixture): Promise<Deno.TcpConn> {
  const conn = await fixture.connect();
  // Bodies come in several parts, each of which would wait for an acknowledgement.
  conn.setNoDelay();
  return conn;
}

type Response = Awaited<ReturnType<typeof exchange>>;

/** The status of a request that was not forwarded at all; 400 also for a stream that was reset, and undefined else. */
function refusalOf({ status, lines }: Response): number | undefined {
  if (status === 0) return 400;
  const isForwarded = lines.some((line) => line.startsWith("failover: "));
  return status >= 400 && !isForwarded ? status : undefined;
}

function assertSame(second: Response, first: Response, about: string): void {
  const refusal = refusalOf(first);
  if (refusal === undefined) assertEquals(second, first, about);
  // The texts of such answers differ.
  else assertEquals(refusalOf(second), refusal, about);
}

/** Requests of HTTP/2 that are under way at one time, on one connection. */
const AT_ONCE = 12;

onBothSockets(
  "random exchanges are the same over HTTP/1.1 and over HTTP/2, where many are under way at one time",
  async ({ start }: OnSockets) => {
    await using up = await answering();
    const { state } = up;
    await using fixture = await start([up.port], {
      protocol: "HTTP/2",
      pseudonym: "failover-same",
      basePath: "/base",
      preserveHost: true,
      requestId: true,
      trusted: new Networks([parseNetwork("127.0.0.1") as Network]),
      bodyMax: 50_000,
    });
    await fixture.open(0);
    const http1 = new Renewed(async () => new Http1Client(await connected(fixture)), HTTP1);
    const counts = { forwarded: 0, refused: 0 };
    const numbers = seeds(CASES);
    for (let at = 0; at < numbers.length; at += AT_ONCE) {
      const http2 = new Http2Client(await connected(fixture));
      const batch = numbers.slice(at, at + AT_ONCE).map((seed) => {
        const plan = exchangeCase(new Dice(seed), `http://127.0.0.1:${up.port}`);
        state.cases.set(String(seed), plan);
        return { seed, plan, about: `FAILOVER_SEED=${seed} ${JSON.stringify(plan)}` };
      });
      const first: Response[] = [];
      for (const { seed, plan, about } of batch) {
        first.push(await withTestDeadline(about, http1.ask(seed, plan)));
      }
      const seen = new Map(state.seen);
      state.seen.clear();
      const second = await Promise.all(
        batch.map(({ seed, plan, about }) =>
          withTestDeadline(about, exchange(http2, HTTP2, seed, plan))
        ),
      );
      close(http2.conn);
      batch.forEach(({ seed, about }, i) => {
        const number = String(seed);
        assertEquals(state.seen.get(number), seen.get(number), about);
        assertSame(second[i]!, first[i]!, about);
        counts.forwarded += seen.get(number)?.length ?? 0;
        if (refusalOf(first[i]!) !== undefined) counts.refused++;
      });
      state.seen.clear();
    }
    http1.close();
    assertEquals(fixture.doubts, []);
    if (chosenSeed !== undefined) return;
    // Otherwise it would prove nothing.
    assert(counts.forwarded > CASES / 3 && counts.refused > 5, JSON.stringify(counts));
  },
);
