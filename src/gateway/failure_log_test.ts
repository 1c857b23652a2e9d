import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Event } from "../events/events.ts";
import { FailureLog } from "./failure_log.ts";
import { FakeClient } from "./testing/fake_client.ts";

function lossesOf() {
  const clock = new ManualClock();
  const events: Event[] = [];
  return { clock, events, losses: new FailureLog(clock, (event) => void events.push(event)) };
}

Deno.test("each response that was cut is counted, and the same reason is published once a second", async () => {
  const { clock, events, losses } = lossesOf();
  const client = new FakeClient();
  const fault = new Fault("responseCut");
  for (let i = 0; i < 5; i++) losses.cut(client, "a", fault);
  losses.cut(client, "b", fault);
  assertEquals([losses.lost, events.length], [6, 2]);
  await clock.advance(1_001);
  losses.cut(client, "a", fault);
  assertEquals([losses.lost, events.length], [7, 3]);
  assertEquals(events[0], {
    type: "session.failed",
    upstream: "a",
    client: client.peer,
    reason: "response was cut short",
  });
});

Deno.test("a response whose client left does not count as lost", () => {
  const { events, losses } = lossesOf();
  const client = new FakeClient();
  client.leave();
  losses.cut(client, "a", new Fault("responseCut"));
  assertEquals([losses.lost, events], [0, []]);
});

Deno.test("an error that is not a Fault is a bug: it is counted once, however often it is rethrown", () => {
  const { events, losses } = lossesOf();
  const known = new Fault("responseCut");
  assertEquals([losses.faultOf(known), losses.faulted, events.length], [known, 0, 0]);
  const fault = losses.faultOf(new TypeError("no such thing"));
  assertEquals([losses.faultOf(fault), fault.fault], [fault, "internalError"]);
  assertEquals([losses.faulted, events.map(({ type }) => type)], [1, ["proxy.faulted"]]);
});
