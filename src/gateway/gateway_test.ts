/** Which requests the gateway answers itself, forwards and refuses, and the orders of the controller. */
import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { rejectedWith } from "../base/testing/faults.ts";
import type { Event } from "../events/events.ts";
import { upstreamsOf } from "../failover/testing/results.ts";
import { Deadlines } from "../net/deadlines.ts";
import { DEFAULT_PAGE } from "./error_page.ts";
import { Gateway, type GatewaySettings } from "./gateway.ts";
import { FakeClient } from "./testing/fake_client.ts";
import type { GatewayUpstream } from "./upstream.ts";

const [A] = upstreamsOf("a") as [ReturnType<typeof upstreamsOf>[number]];

/** A gateway whose only upstream is a page, with the admin endpoints of a test. */
function fixtureOf(settings: Partial<GatewaySettings> = {}) {
  const clock = new ManualClock();
  const events: Event[] = [];
  const page: GatewayUpstream = {
    kind: "static",
    upstream: A,
    respond: (request) =>
      Promise.resolve(new Response(`page for ${new URL(request.url).pathname}`)),
  };
  const gateway = new Gateway(
    {
      ...{ bodyMax: 1_000, honourIdempotencyKey: false, holdMs: 10_000, responseTimeoutMs: 5_000 },
      ...{ idleTimeoutMs: 0, failoverHeader: true, requestId: false, retryOn: [] },
      ...{ errorPage: DEFAULT_PAGE, heldMax: 10, allowTrace: false, pseudonym: "failover-1" },
      ...settings,
    },
    {
      ...{ clock, deadlines: new Deadlines(clock), doubt: () => {}, others: () => [] },
      publish: (event) => events.push(event),
      upstreams: new Map([["a", page]]),
      admin: { fetch: (request) => new Response(`admin ${new URL(request.url).pathname}`) },
    },
  );
  /** What a client gets: its whole response, or the name of the fault that the server answers with. */
  const ask = async (path: string, method = "GET", lines = "") => {
    const client = new FakeClient(method, path, lines);
    await gateway.serve(client, "http");
    return client.answered;
  };
  return { clock, gateway, events, ask };
}

Deno.test("our own paths are answered by us, whether or not an upstream is active", async () => {
  const { ask } = fixtureOf();
  assertMatch(await ask("/__failover/health"), /^HTTP\/1\.1 200 [^]*OK$/);
  assertMatch(await ask("/__failover/state"), /admin \/__failover\/state$/);
  assertMatch(await ask("/__failover"), /admin \/__failover$/);
});

Deno.test("every other path is forwarded, and counted", async () => {
  const { gateway, ask } = fixtureOf();
  await gateway.open(A, 1);
  assertMatch(await ask("/__failover-not"), /page for \/__failover-not$/);
  const { requests, active, held, lost } = gateway.counters();
  assertEquals([requests, active, held, lost], [1, 0, 0, 0]);
});

Deno.test("the app answers as the way from a socket does", async () => {
  const { gateway } = fixtureOf();
  await gateway.open(A, 1);
  const downstream = new FakeClient("GET", "/x");
  await gateway.app.request("/x", {}, { downstream, scheme: "http" });
  assertMatch(downstream.answered, /page for \/x$/);
  const health = await gateway.app.request("/__failover/health", {}, {
    downstream,
    scheme: "http",
  });
  assertEquals(await health.text(), "OK");
});

Deno.test("TRACE is refused unless it is allowed", async () => {
  const { gateway } = fixtureOf();
  await gateway.open(A, 1);
  const trace = () => new FakeClient("TRACE", "/");
  assertEquals(
    await rejectedWith(Promise.resolve(gateway.serve(trace(), "http"))),
    "methodRefused",
  );
  const allowed = fixtureOf({ allowTrace: true });
  await allowed.gateway.open(A, 1);
  const toFiles = Promise.resolve(allowed.gateway.serve(trace(), "http"));
  assertEquals([await rejectedWith(toFiles), allowed.gateway.counters().faulted], [
    ...["methodRefused", 0],
  ]);
});

Deno.test("a request that came back to this service is refused, and reported once a minute", async () => {
  const { clock, gateway, events } = fixtureOf();
  await gateway.open(A, 1);
  const back = () => {
    const client = new FakeClient("GET", "/", "Via: 1.1 other, 1.1 failover-1\r\n");
    return rejectedWith(Promise.resolve(gateway.serve(client, "http")));
  };
  assertEquals([await back(), await back(), events.length], ["loopDetected", "loopDetected", 1]);
  await clock.advance(60_000);
  await back();
  assertEquals(events.map(({ type }) => type), ["config.warned", "config.warned"]);
});

Deno.test("requests wait during a hold, and are refused after an order to refuse", async () => {
  const { clock, gateway, ask } = fixtureOf();
  await gateway.hold();
  const waiting = ask("/x");
  await clock.advance(300);
  assertEquals(gateway.counters().held, 1);
  await gateway.open(A, 1);
  assertMatch(await waiting, /page for \/x$/);
  assertEquals([gateway.counters().released, gateway.counters().longestHoldMs], [1, 300]);
  assertEquals(gateway.holdTimes().sum, 0.3);
  await gateway.refuse();
  assertMatch(await ask("/x"), /^HTTP\/1\.1 503 /);
});

Deno.test("at the end of the service requests go to the active upstream, and nobody waits", async () => {
  const { gateway, ask } = fixtureOf();
  await gateway.open(A, 1);
  gateway.decideNoMore();
  assertMatch(await ask("/x"), /page for \/x$/);
  assertEquals(await gateway.busy("a", 1), 0);
  gateway[Symbol.dispose]();
  assertMatch(await ask("/x"), /^HTTP\/1\.1 503 /);
});
