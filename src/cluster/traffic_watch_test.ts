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

Deno.test("TrafficWatch waits for the number of busy sessions for a moment, and takes it also later", async () => {
  const clock = new ManualClock(1);
  const traffic = new TrafficWatch(clock);
  await traffic.look("a", Promise.resolve(0));
  await traffic.look("a", Promise.reject(new Error("no worker")));
  assertEquals(traffic.of("a"), "none");
  await traffic.look("a", Promise.resolve(1));
  assertEquals(traffic.of("a"), "flows");
  const late = Promise.withResolvers<number>();
  const looked = traffic.look("b", late.promise);
  await clock.advance(1_000);
  await looked;
  assertEquals(traffic.of("b"), "none");
  late.resolve(2);
  await clock.advance(0);
  assertEquals([traffic.of("b"), clock.pending], ["flows", 0]);
});
