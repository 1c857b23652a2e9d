import { assertEquals } from "@std/assert";
import type { Event } from "../events/events.ts";
import { EventCounts } from "./event_counts.ts";

Deno.test("events are counted by service and type, finished promotions by the kind of move", () => {
  const counts = new EventCounts();
  const take = (service: string, event: Event) => counts.take({ seq: 0, time: 0, service, event });
  const promoted = {
    type: "promotion.finished",
    id: "1",
    epoch: 1,
    reason: "",
    tookMs: 0,
  } as const;
  take("shop", { ...promoted, move: "failover", to: "b" });
  take("shop", { ...promoted, move: "failback", to: "a" });
  take("shop", { ...promoted, move: "failover", to: "b" });
  take("blog", { type: "port.closed", address: "127.0.0.1:1" });
  assertEquals(counts.events, [
    [{ service: "shop", type: "promotion.finished" }, 3],
    [{ service: "blog", type: "port.closed" }, 1],
  ]);
  assertEquals(counts.promotions, [
    [{ service: "shop", move: "failover" }, 2],
    [{ service: "shop", move: "failback" }, 1],
  ]);
});

Deno.test("the counters of a service exist from the beginning, and continue from earlier counts", () => {
  const counts = new EventCounts();
  const event = { type: "trigger.failed", program: "p", epoch: 1, reason: "", tookMs: 5 } as const;
  counts.take({ seq: 0, time: 0, service: "shop", event });
  counts.begin("shop");
  counts.begin("shop");
  assertEquals(counts.promotions.map(([{ move }, value]) => `${move} ${value}`), [
    "start 0",
    "failover 0",
    "failback 0",
    "switchover 0",
    "resume 0",
  ]);
  const triggers = counts.triggerTimes.map(([{ result }, { counts }]) => [result, counts[0]]);
  assertEquals(triggers, [["failed", 1], ["finished", 0]]);
});
