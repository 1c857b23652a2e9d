import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { TrafficWatch } from "./traffic_watch.ts";

Deno.test("TrafficWatch tells the latest experience of the clients of one upstream, for a while", async () => {
  const clock = new ManualClock(1);
  const traffic = new TrafficWatch(clock);
  assertEquals(traffic.of("a"), "none");
  traffic.flowed("a");
  assertEquals([traffic.of("a"), traffic.of("b"), traffic.of(undefined)], [
    "flows",
    "none",
    "none",
  ]);
  await clock.advance(1);
  traffic.failed("a");
  assertEquals(traffic.of("a"), "fails");
  await clock.advance(1);
  traffic.flowed("a");
  assertEquals(traffic.of("a"), "flows");
  traffic.failed("b");
  assertEquals([traffic.of("a"), traffic.of("b")], ["none", "fails"]);
  await clock.advance(8_001);
  assertEquals(traffic.of("b"), "none");
});
