/** Attacks over HTTP/2 on the real program: each ends as it must, with a count, and nobody else notices. */
import { assert, assertEquals } from "@std/assert";
import { HTTP2_RULES, type Http2Rule } from "../../src/base/http2_rules.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { FRAME } from "../../src/http2/frames.ts";
import { data, frame, joined } from "../../src/http2/testing/frames.ts";
import { nodeUpstream, refusingPort, urlOf } from "../gateway/gateway_fixture.ts";
import { type Http2Way, onHttp2Ways } from "../harness/http2_ways.ts";
import { assertSlim, peakMemory } from "../harness/peak_memory.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { attack, drip } from "./http2_attacking.ts";
import { type Attack, ATTACKS, DEAF, rapidResets, SLOW_ATTACKS } from "./http2_attacks.ts";

const BIG = new Uint8Array(20_000_000);
/** Short for an attack, and long enough for clients that keep the rules and have to wait for a core. */
const QUICK = { "head-timeout": "4s", "body-timeout": "4s", "write-timeout": "4s" };

/** Each look is a request, so that these take several seconds. */
const LOOKS_MAX = 1_000;

/** An upstream with a large page, and one that never comes. */
async function victim() {
  let running = 0;
  let large = 0;
  let changed = Promise.withResolvers<void>();
  const upstream = await nodeUpstream((request, response) => {
    running++;
    response.once("close", () => {
      running--;
      changed.resolve();
    });
    request.resume().on("error", () => {});
    if (request.url === "/big") {
      large++;
      changed.resolve();
      response.end(BIG);
    } else if (request.url !== "/wait") request.once("end", () => response.end("well"));
  });
  /** Resolves when it has no request any more. */
  const isIdle = async () => {
    while (running > 0) {
      changed = Promise.withResolvers();
      await changed.promise;
    }
  };
  /** Resolves when it has had so many requests for the large page. */
  const isAsked = async (count: number) => {
    while (large < count) {
      changed = Promise.withResolvers();
      await changed.promise;
    }
  };
  return { ...upstream, isIdle, isAsked };
}

/** How often each rule was broken so far, in the metrics of the program. */
async function brokenRules(admin: string): Promise<ReadonlyMap<Http2Rule, number>> {
  const text = await (await fetch(`http://${admin}/__failover/metrics`)).text();
  const count = (rule: Http2Rule) => {
    const line = `^failover_http2_rules_broken_total\\{.*rule="${rule}"\\} (\\d+)$`;
    return Number(new RegExp(line, "m").exec(text)![1]);
  };
  return new Map(Object.values(HTTP2_RULES).map((rule) => [rule, count(rule)]));
}

/** Waits until these rules, and no others, were broken more often than `before`; how often they were broken. */
async function areCounted(
  admin: string,
  rules: Iterable<Http2Rule>,
  before?: ReadonlyMap<Http2Rule, number>,
): Promise<ReadonlyMap<Http2Rule, number>> {
  const expected = [...rules].sort();
  for (let looks = 0;; looks++) {
    const after = await brokenRules(admin);
    const raised = [...after].filter(([rule, count]) => count > (before?.get(rule) ?? 0));
    const found = raised.map(([rule]) => rule).sort();
    // The threads report their counts a moment later.
    if (found.length >= expected.length || looks === LOOKS_MAX) {
      assertEquals(found, expected);
      return after;
    }
  }
}

type Client = Awaited<ReturnType<Http2Way["connect"]>>;

/** Asks as a client that keeps the rules, on the stream `id`. */
async function isServed(client: Client, id: number, proxy: WebProxy): Promise<void> {
  await client.get(id);
  const { body } = await withTestDeadline("an answer", client.response(), proxy.lastLines);
  assertEquals(body, "well");
}

/** Attacks on a connection of its own, and checks the outcome. */
async function survive(
  way: Http2Way,
  proxy: WebProxy,
  [name, how]: readonly [string, Attack],
): Promise<void> {
  const client = await way.connect(proxy, how.isSilent);
  const got = await withTestDeadline(name, attack(client, how), proxy.lastLines);
  for (const each of how.gets) {
    assert(got.includes(each), `${name}: no ${each} in ${[...new Set(got)]}`);
  }
  client.conn.close();
}

const rulesOf = (attacks: Readonly<Record<string, Attack>>) =>
  new Set(Object.values(attacks).flatMap(({ rules = [] }) => rules));

/** Waits for a line about each of these rules, which says what ended. */
async function areLogged(proxy: WebProxy, rules: Iterable<Http2Rule>): Promise<void> {
  const reason = /^.{10,}; the (request|connection) ends$/;
  for (const rule of rules) {
    await proxy.event("http2.broken", { rule: new RegExp(`^${rule}$`), reason });
  }
}

onHttp2Ways("each attack ends, is counted, and keeps nobody from being served", async (way) => {
  await using upstream = await victim();
  const admin = `127.0.0.1:${unusedPort()}`;
  const flags = { ...way.flags, admin };
  await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
  const honest = await way.connect(proxy);
  let asked = 0;
  let before = await brokenRules(admin);
  let memory = 0;
  // The first round loads code and fills pools. After it, nothing may be kept.
  for (const round of ["", "again: "]) {
    for (const [name, how] of Object.entries(ATTACKS)) {
      await survive(way, proxy, [round + name, how]);
      await isServed(honest, 1 + 2 * asked++, proxy);
      before = await areCounted(admin, how.rules ?? [], before);
    }
    await withTestDeadline("all requests to end", upstream.isIdle(), proxy.lastLines);
    if (memory === 0) memory = await peakMemory(proxy);
  }
  await areLogged(proxy, rulesOf(ATTACKS));
  await assertSlim(proxy, memory);
  honest.conn.close();
  assertEquals(proxy.events("proxy.faulted"), []);
  assertEquals(await proxy.stop(), 0);
});

onHttp2Ways("each slow attack ends at its time-out, and holds no upstream", async (way) => {
  await using upstream = await victim();
  const admin = `127.0.0.1:${unusedPort()}`;
  const flags = { ...way.flags, ...QUICK, admin, "keep-alive-timeout": "5s" };
  await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
  await Promise.all(
    Object.entries(SLOW_ATTACKS).map(async (each) => {
      const attacking = survive(way, proxy, each);
      const honest = await way.connect(proxy);
      await isServed(honest, 1, proxy);
      honest.conn.close();
      await attacking;
    }),
  );
  await withTestDeadline("all requests to end", upstream.isIdle(), proxy.lastLines);
  const rules = rulesOf(SLOW_ATTACKS);
  await areLogged(proxy, rules);
  await areCounted(admin, rules);
  assertEquals(proxy.events("proxy.faulted"), []);
  assertEquals(await proxy.stop(), 0);
});

onHttp2Ways(
  "a client that reads nothing holds no upstream, and loses its connection",
  async (way) => {
    await using upstream = await victim();
    const flags = { ...way.flags, ...QUICK };
    await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
    const deaf = await way.connect(proxy);
    await deaf.send(DEAF);
    await withTestDeadline("20 requests", upstream.isAsked(20), proxy.lastLines);
    const honest = await way.connect(proxy);
    await isServed(honest, 1, proxy);
    await withTestDeadline("all requests to end", upstream.isIdle(), proxy.lastLines);
    const reason = /^nothing that was sent was read in time; the connection ends$/;
    await proxy.event("http2.broken", { rule: /^slow_windows$/, reason });
    // Deno's TLS goes on offering a client what it has not read, also after `close`.
    if (!way.isTls || way.flags.relay === "splice") {
      const ended = drip(deaf, frame(FRAME.ping, 0, 0, "12345678"));
      await withTestDeadline("the end of the connection", ended, proxy.lastLines);
    }
    deaf.conn.close();
    honest.conn.close();
    assertEquals(proxy.events("proxy.faulted"), []);
    assertEquals(await proxy.stop(), 0);
  },
);

/** Uploads of one client, and how many bytes of each come in a frame of their own. */
const UPLOADS = 16;
const BYTES_ALONE = 30_000;

onHttp2Ways("bodies in frames of one byte take little memory while they wait", async (way) => {
  const flags = { ...way.flags, hold: "60s" };
  const primary = { url: `http://127.0.0.1:${refusingPort()}` };
  await using proxy = await startWebProxy({ primary, flags }, "selection.failed");
  const client = await way.connect(proxy);
  const askHealth = async (id: number) => {
    await client.get(id, "/__failover/health");
    return await withTestDeadline("an answer", client.response(), proxy.lastLines);
  };
  // What this answer needs for the first time is loaded before.
  await askHealth(1);
  const before = await peakMemory(proxy);
  for (let at = 1; at <= UPLOADS; at++) {
    const id = 1 + 2 * at;
    await client.post(id);
    const one = data(id, 1);
    await client.send(joined(Array.from({ length: BYTES_ALONE }, () => one)));
  }
  const { end } = await askHealth(3 + 2 * UPLOADS);
  assertEquals(end, "end");
  await assertSlim(proxy, before);
  client.conn.close();
});

/** Connections, and requests of each that are taken back with the same write: fewer than are allowed at once. */
const CONNECTIONS = 20;
const TAKEN_BACK = 180;

onHttp2Ways(
  "requests of many connections that are taken back at once are no work for an upstream",
  async (way) => {
    let connections = 0;
    await using upstream = await nodeUpstream((request, response) => {
      if (request.url !== "/wait") response.end("well");
    });
    upstream.server.on("connection", () => connections++);
    await using proxy = await startWebProxy({ primary: urlOf(upstream), flags: way.flags });
    const attacking = Array.from({ length: CONNECTIONS }, async () => {
      const client = await way.connect(proxy);
      await client.send(rapidResets(TAKEN_BACK));
      // Its own answer comes after all of that was taken.
      await isServed(client, 2 * TAKEN_BACK + 1, proxy);
      client.conn.close();
    });
    await Promise.all(attacking);
    // Where a read ends between a request and its reset, a connection may be made for it.
    assert(connections < CONNECTIONS * TAKEN_BACK / 4, `${connections} connections`);
    assertEquals(proxy.events("http2.broken"), []);
    assertEquals(await proxy.stop(), 0);
  },
);
