import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Event } from "./events.ts";
import { ServerTroubles } from "./server_troubles.ts";

function build() {
  const clock = new ManualClock();
  const events: Event[] = [];
  const troubles = new ServerTroubles(clock, (event) => void events.push(event));
  return { clock, events, troubles };
}

Deno.test("each refusal is counted, and one event in ten seconds is published with their number", async () => {
  const { clock, events, troubles } = build();
  for (let i = 0; i < 3; i++) troubles.onFault(new Fault("badRequest", "no Host"), "10.0.0.1");
  assertEquals([troubles.refused, troubles.faulted, events.length], [3, 0, 1]);
  await clock.advance(10_000);
  troubles.onFault(new Fault("badRequest", "no Host"), "10.0.0.2");
  const [first, second] = events;
  const refused = {
    type: "request.refused",
    status: 400,
    reason: "malformed request: no Host",
  } as const;
  assertEquals(first, { ...refused, client: "10.0.0.1", count: 1 });
  assertEquals(second, { ...refused, client: "10.0.0.2", count: 3 });
  assertEquals(troubles.refused, 4);
});

Deno.test("faults of upstreams are neither refusals nor bugs", () => {
  const { events, troubles } = build();
  troubles.onFault(new Fault("connectRefused"), "10.0.0.1");
  assertEquals([troubles.refused, troubles.faulted, events], [0, 0, []]);
});

Deno.test("a bug is counted and published, but not a second time if the gateway did that", () => {
  const { events, troubles } = build();
  const bug = () => new Fault("internalError", undefined, { cause: new TypeError("oops") });
  troubles.onFault(bug(), "10.0.0.1");
  assertEquals(events.map((event) => event.type), ["proxy.faulted"]);
  assertEquals(troubles.faulted, 1);
  const known = bug();
  known.isReported = true;
  troubles.onFault(known, "10.0.0.1");
  assertEquals([troubles.faulted, events.length], [1, 1]);
});

Deno.test("the limit of connections is published", () => {
  const { events, troubles } = build();
  troubles.onFull(8);
  assertEquals(events, [{ type: "limit.reached", limit: "connections", max: 8 }]);
});

Deno.test("broken rules of HTTP/2 are counted one by one, with one event in ten seconds for each", async () => {
  const { clock, events, troubles } = build();
  const resets = () => troubles.onBroken("resets", "too many frames: resets", "10.0.0.1");
  resets();
  resets();
  troubles.onBroken("other", "size of PING", "10.0.0.2");
  await clock.advance(10_000);
  resets();
  const broken = { type: "http2.broken", client: "10.0.0.1", rule: "resets" } as const;
  const reason = "too many frames: resets";
  assertEquals(events, [
    { ...broken, reason, count: 1 },
    { ...broken, client: "10.0.0.2", rule: "other", reason: "size of PING", count: 1 },
    { ...broken, reason, count: 2 },
  ]);
  assertEquals([troubles.http2.http2Resets, troubles.http2.http2Other, troubles.refused], [
    3,
    1,
    0,
  ]);
});
