/** An exchange that is answered with files of our own, and files that break. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Event } from "../events/events.ts";
import { upstreamsOf } from "../failover/testing/results.ts";
import { FailureLog } from "./failure_log.ts";
import { RequestState } from "./request_state.ts";
import { attemptStatic } from "./static_attempt.ts";
import { FakeClient } from "./testing/fake_client.ts";

/** An exchange of `client` with files that respond with `response`. */
function fixtureOf(response: Response | Error, client = new FakeClient(), failoverHeader = true) {
  const events: Event[] = [];
  let outside = 0;
  const failures = new FailureLog(new ManualClock(), (event) => events.push(event));
  const settings = { bodyMax: 1_000, honourIdempotencyKey: false };
  const state = new RequestState(client, "http", settings, { bytes: 0 }, 0);
  state.attempts = 1;
  const context = {
    settings: { failoverHeader },
    failures,
    outside: () => {
      outside++;
      return () => outside--;
    },
  };
  const to = {
    kind: "static" as const,
    upstream: upstreamsOf("a", "b")[1]!,
    respond: (_: Request) =>
      response instanceof Error ? Promise.reject(response) : Promise.resolve(response),
  };
  const run = () => attemptStatic(context, state, to);
  return { client, state, events, failures, run, outside: () => outside };
}

Deno.test("the response is sent with the headers of the proxy, and the work outside ends", async () => {
  const { client, state, run, outside } = fixtureOf(new Response("page", { status: 503 }));
  state.requestId = "r-1";
  assertEquals(await run(), { is: "done" });
  assertEquals(outside(), 0);
  assertMatch(client.answered, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  assertMatch(client.answered, /\r\nfailover: upstream=backup; attempt=1\r\n/i);
  assertMatch(client.answered, /\r\nx-request-id: r-1\r\n[^]*page$/i);
});

Deno.test("without --failover-header there is no such header", async () => {
  const { client, run } = fixtureOf(new Response("page"), new FakeClient(), false);
  await run();
  assertEquals(/failover:/i.test(client.answered), false);
});

Deno.test("a file that breaks while it is sent cuts the response, and is a failure", async () => {
  const broken = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.error(new Fault("responseCut", "the file became shorter")),
  });
  const { run, events, outside } = fixtureOf(new Response(broken));
  const outcome = await run();
  assertEquals(outcome.is === "cut" && outcome.fault.fault, "responseCut");
  assertEquals([events.length, outside()], [1, 0]);
});

Deno.test("a client that has left gets nothing, and that is no failure", async () => {
  const client = new FakeClient();
  client.leave();
  const { run, events, outside } = fixtureOf(new Response("page"), client);
  const outcome = await run().catch((error) => error);
  const fault = outcome instanceof Fault ? outcome : outcome.is === "cut" ? outcome.fault : outcome;
  assertEquals([fault.fault, events, outside()], ["clientReset", [], 0]);
});

Deno.test("an error of the code that responds ends the work outside, and is passed on", async () => {
  const { run, outside } = fixtureOf(new TypeError("a bug"));
  await assertRejects(run, TypeError, "a bug");
  assertEquals(outside(), 0);
});
