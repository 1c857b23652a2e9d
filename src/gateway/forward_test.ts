/** What the forwarder does after each attempt: which upstream is next, and when the client gets a page. */
import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Event } from "../events/events.ts";
import type { Doubt } from "../failover/ports.ts";
import { upstreamsOf } from "../failover/testing/results.ts";
import { Pool } from "../http1/pool.ts";
import { Deadlines } from "../net/deadlines.ts";
import { type FakeConn, fakePair } from "../net/testing/fake_conn.ts";
import { AdmissionGate } from "./admission.ts";
import { DEFAULT_PAGE } from "./error_page.ts";
import { Forwarder } from "./forward.ts";
import type { ForwardSettings } from "./forward_settings.ts";
import { requestRules } from "./headers.ts";
import { FakeClient } from "./testing/fake_client.ts";
import type { ServerUpstream } from "./upstream.ts";
import { RequestTimer, requestTimesOf } from "./request_times.ts";

const SETTINGS: ForwardSettings = {
  bodyMax: 1_000,
  honourIdempotencyKey: false,
  holdMs: 10_000,
  responseTimeoutMs: 5_000,
  idleTimeoutMs: 0,
  failoverHeader: true,
  requestId: false,
  retryOn: [],
  errorPage: DEFAULT_PAGE,
};
const UPSTREAMS = upstreamsOf("a", "b");

/** A forwarder to `a` and `b`, whose connections `dial` makes or refuses. */
function fixtureOf(
  settings: Partial<ForwardSettings> = {},
  dial: (name: string, end: FakeConn) => Promise<FakeConn> = (_, end) => Promise.resolve(end),
) {
  const clock = new ManualClock();
  const deadlines = new Deadlines(clock);
  const events: Event[] = [];
  const doubts: Doubt[] = [];
  const gate = new AdmissionGate(clock, { heldMax: 1 });
  const ends: { readonly name: string; readonly conn: FakeConn }[] = [];
  const ways = UPSTREAMS.map((upstream): ServerUpstream => ({
    kind: "server",
    upstream,
    origin: `http://${upstream.name}.test`,
    basePath: "",
    pool: new Pool({
      deadlines,
      dial: () => {
        const [conn, end] = fakePair();
        ends.push({ name: upstream.name, conn });
        return dial(upstream.name, end);
      },
    }),
    rules: requestRules("up.test", { preserveHost: false, headers: [], pseudonym: "failover" }),
  }));
  let others = UPSTREAMS.slice(1);
  const timer = new RequestTimer();
  const forwarder = new Forwarder({ ...SETTINGS, ...settings }, {
    timer,
    clock,
    deadlines,
    publish: (event) => events.push(event),
    gate,
    upstreams: new Map(ways.map((way) => [way.upstream.name, way])),
    doubt: (doubt) => doubts.push(doubt),
    others: () => others,
  });
  return {
    ...{ clock, gate, forwarder, events, doubts, ends, timer },
    withoutOthers: () => others = [],
    /** Answers the oldest request that has not been answered. */
    async answer(number: number, text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") {
      const { conn } = ends[number]!;
      const head = await conn.readUntil("\r\n\r\n");
      if (text === "") conn.close();
      else await conn.sendText(text);
      return head;
    },
  };
}

/** The outcome of an exchange: undefined, or the name of its fault. */
async function endOf(exchange: PromiseLike<unknown>): Promise<string | undefined> {
  try {
    await exchange;
    return undefined;
  } catch (error) {
    return error instanceof Fault ? error.fault : String(error);
  }
}

const refusing = (name: string, end: FakeConn) =>
  name === "a" ? Promise.reject(new Fault("connectRefused")) : Promise.resolve(end);

Deno.test("an exchange goes to the active upstream, and is counted", async () => {
  const { gate, forwarder, answer, ends } = fixtureOf({ requestId: true });
  gate.open(UPSTREAMS[0]!, 1);
  const client = new FakeClient("GET", "/path");
  const exchange = forwarder.forward(client, "http");
  assertEquals(forwarder.counters.active, 1);
  const head = await answer(0);
  assertMatch(head, /^GET \/path HTTP\/1\.1\r\n[^]*\r\nx-request-id: /i);
  assertEquals(await endOf(exchange), undefined);
  assertMatch(client.answered, /failover: upstream=primary; attempt=1\r\n[^]*ok$/i);
  const { requests, active, retried } = forwarder.counters;
  assertEquals([requests, active, retried, ends.length], [1, 0, 0, 1]);
});

Deno.test("a refused connection is a doubt, and the exchange goes to another upstream at once", async () => {
  const { clock, gate, forwarder, answer, doubts } = fixtureOf({}, refusing);
  gate.open(UPSTREAMS[0]!, 7);
  const client = new FakeClient("POST");
  const exchange = forwarder.forward(client, "http");
  await clock.advance(0);
  await answer(1);
  assertEquals(await endOf(exchange), undefined);
  assertEquals(doubts.map(({ upstream, epoch, hard }) => [upstream, epoch, hard]), [[
    "a",
    7,
    true,
  ]]);
  assertMatch(client.answered, /upstream=backup; attempt=2; reason=connect-refused/);
  assertEquals(forwarder.counters.retried, 1);
});

Deno.test("without another upstream the exchange waits for the next decision", async () => {
  const { clock, gate, forwarder, answer, withoutOthers } = fixtureOf({}, refusing);
  withoutOthers();
  gate.open(UPSTREAMS[0]!, 1);
  const exchange = forwarder.forward(new FakeClient(), "http");
  await clock.advance(0);
  assertEquals(gate.held, 1);
  gate.open(UPSTREAMS[1]!, 2);
  await clock.advance(0);
  await answer(1);
  assertEquals(await endOf(exchange), undefined);
});

Deno.test("when its time to wait is over the client gets the page with 503", async () => {
  const { clock, gate, forwarder } = fixtureOf({ holdMs: 500 });
  gate.hold();
  const client = new FakeClient();
  const exchange = forwarder.forward(client, "http");
  await clock.advance(500);
  assertEquals(await endOf(exchange), undefined);
  assertMatch(client.answered, /^HTTP\/1\.1 503 [^]*\r\nretry-after: 5\r\n/i);
  assertEquals([forwarder.losses, clock.pending], [{ lost: 1, faulted: 0 }, 0]);
});

Deno.test("an exchange beyond the limit of those that wait is answered at once", async () => {
  const { gate, forwarder } = fixtureOf();
  gate.hold();
  const first = new FakeClient();
  forwarder.forward(first, "http").then(() => {}, () => {});
  const second = new FakeClient();
  await forwarder.forward(second, "http");
  assertEquals([second.status, first.status], [503, 0]);
  gate.close();
});

Deno.test("a request that may take effect twice is not sent again after an end without a response", async () => {
  const { gate, forwarder, answer, ends } = fixtureOf();
  gate.open(UPSTREAMS[0]!, 1);
  const client = new FakeClient("POST");
  const exchange = forwarder.forward(client, "http");
  await answer(0, "");
  await endOf(exchange);
  assertEquals([client.status, ends.length], [502, 1]);
});

Deno.test("one that has the same effect twice is sent to another upstream, once", async () => {
  const { clock, gate, forwarder, answer, ends } = fixtureOf();
  gate.open(UPSTREAMS[0]!, 1);
  const client = new FakeClient("GET");
  const exchange = forwarder.forward(client, "http");
  await answer(0, "");
  await clock.advance(0);
  await answer(1, "");
  await endOf(exchange);
  assertEquals([client.status, ends.map(({ name }) => name)], [502, ["a", "b"]]);
});

Deno.test("a shortage of this machine is tried again after a pause, and is no doubt", async () => {
  let tries = 0;
  const short = (_: string, end: FakeConn) =>
    ++tries < 3 ? Promise.reject(new Fault("localShortage", "EMFILE")) : Promise.resolve(end);
  const { clock, gate, forwarder, answer, doubts } = fixtureOf({}, short);
  gate.open(UPSTREAMS[0]!, 1);
  const client = new FakeClient();
  const exchange = forwarder.forward(client, "http");
  for (const pauseMs of [0, 25, 50]) await clock.advance(pauseMs);
  await answer(2);
  assertEquals(await endOf(exchange), undefined);
  assertMatch(client.answered, /attempt=1/);
  assertEquals(doubts, []);
});

Deno.test("a status of --retry-on is dropped if another upstream can be asked, else passed on", async () => {
  const retryOn = [{ from: 503, to: 503 }];
  const BUSY = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
  const { clock, gate, forwarder, answer } = fixtureOf({ retryOn });
  gate.open(UPSTREAMS[0]!, 1);
  const client = new FakeClient();
  const exchange = forwarder.forward(client, "http");
  await answer(0, BUSY);
  await clock.advance(0);
  await answer(1);
  assertEquals([await endOf(exchange), client.status], [undefined, 200]);
  const alone = fixtureOf({ retryOn });
  alone.withoutOthers();
  alone.gate.open(UPSTREAMS[0]!, 1);
  const other = new FakeClient();
  const last = alone.forwarder.forward(other, "http");
  await alone.answer(0, BUSY);
  assertEquals([await endOf(last), other.status], [undefined, 503]);
});

Deno.test("a client that leaves while it waits is abandoned, and not answered", async () => {
  const { clock, gate, forwarder } = fixtureOf();
  gate.hold();
  const client = new FakeClient();
  const exchange = forwarder.forward(client, "http");
  client.leave();
  assertEquals([await endOf(exchange), client.status], ["clientReset", 0]);
  assertEquals([forwarder.counters.abandoned, gate.held, clock.pending], [1, 0, 0]);
});

Deno.test("requests are counted by what the client got: a response, an error, or nothing", async () => {
  const { gate, forwarder, answer, timer } = fixtureOf();
  const counted = () =>
    requestTimesOf([timer.cells]).map(({ method, status, upstream }) =>
      `${method} ${status} ${upstream}`
    );
  gate.open(UPSTREAMS[0]!, 1);
  const first = forwarder.forward(new FakeClient(), "http");
  await answer(0);
  await endOf(first);
  const lost = forwarder.forward(new FakeClient("POST"), "http");
  await answer(0, "");
  await endOf(lost);
  gate.hold();
  const left = new FakeClient("PUT");
  const waiting = forwarder.forward(left, "http");
  left.leave();
  await endOf(waiting);
  assertEquals(counted(), ["GET 200 0", "POST 502 -1", "PUT 0 -1"]);
});

Deno.test("a kept connection that went stale is replaced by a new one to the same upstream, after a check", async () => {
  const { clock, gate, forwarder, answer, doubts, ends } = fixtureOf();
  gate.open(UPSTREAMS[0]!, 1);
  const first = forwarder.forward(new FakeClient(), "http");
  await answer(0);
  await endOf(first);
  const client = new FakeClient();
  const second = forwarder.forward(client, "http");
  await answer(0, "");
  await clock.advance(0);
  assertEquals(doubts.map(({ upstream }) => upstream), ["a"]);
  await clock.advance(250);
  await clock.advance(50);
  await answer(1);
  assertEquals([await endOf(second), client.status], [undefined, 200]);
  assertEquals(ends.map(({ name }) => name), ["a", "a"]);
});

Deno.test("a decision that comes before the check has answered takes the exchange to the new upstream", async () => {
  const { clock, gate, forwarder, answer, ends } = fixtureOf();
  gate.open(UPSTREAMS[0]!, 1);
  const first = forwarder.forward(new FakeClient(), "http");
  await answer(0);
  await endOf(first);
  const second = forwarder.forward(new FakeClient(), "http");
  await answer(0, "");
  await clock.advance(0);
  gate.open(UPSTREAMS[1]!, 2);
  await clock.advance(0);
  await answer(1);
  assertEquals([await endOf(second), ends.map(({ name }) => name)], [undefined, ["a", "b"]]);
});

Deno.test("after a failure the exchange follows a decision that was made meanwhile", async () => {
  const { clock, gate, forwarder, answer, ends, withoutOthers } = fixtureOf({}, (name, end) => {
    if (name === "a") {
      gate.open(UPSTREAMS[1]!, 2);
      return Promise.reject(new Fault("connectRefused"));
    }
    return Promise.resolve(end);
  });
  withoutOthers();
  gate.open(UPSTREAMS[0]!, 1);
  const exchange = forwarder.forward(new FakeClient("POST"), "http");
  await clock.advance(0);
  await answer(1);
  assertEquals([await endOf(exchange), ends.length, gate.released], [undefined, 2, 0]);
});

Deno.test("an unsafe request is not sent elsewhere because of its status", async () => {
  const { gate, forwarder, answer, ends } = fixtureOf({ retryOn: [{ from: 503, to: 503 }] });
  gate.open(UPSTREAMS[0]!, 1);
  const client = new FakeClient("POST");
  const exchange = forwarder.forward(client, "http");
  await answer(0, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
  assertEquals([await endOf(exchange), client.status, ends.length], [undefined, 503, 1]);
});
