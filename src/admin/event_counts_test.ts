import { assertEquals } from "@std/assert";
import type { Event } from "../events/events.ts";
import { EventCounts } from "./event_counts.ts";

Deno.test("events are counted by service and type, finished promotions by what moved the traffic", () => {
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
