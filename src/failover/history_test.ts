import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { ANSWERS_MAX, History } from "./history.ts";
import { PASSED, REFUSED, upstreamsOf } from "./testing/results.ts";

Deno.test("a history keeps the last answers with their time, and counts all of them", async () => {
  const clock = new ManualClock(0, 1_000);
  const history = new History(upstreamsOf("a"), clock);
  assertEquals(history.of("a"), { answers: [], passed: 0, failed: 0, noVerdict: 0, run: 0 });
  for (let i = 0; i < ANSWERS_MAX; i++) history.add("a", PASSED);
  await clock.advance(500);
  history.add("a", REFUSED);
  history.add("a", REFUSED);
  const { answers, passed, failed, run } = history.of("a");
  assertEquals([answers.length, passed, failed, run], [ANSWERS_MAX, ANSWERS_MAX, 2, 2]);
  assertEquals(history.durations("a")!.counts.reduce((sum, count) => sum + count), ANSWERS_MAX + 2);
  assertEquals(history.durations("b"), undefined);
  assertEquals(answers.at(-1), { ...REFUSED, time: 1_500 });
  assertEquals(answers[0], { ...PASSED, time: 1_000 });
});

Deno.test("the records of upstreams that stay listed are kept", () => {
  const clock = new ManualClock();
  const [a, b] = ["a", "b"].map((name, rank) => ({
    name,
    rank,
    address: { kind: "tcp" as const, host: name, port: 1 },
  }));
  const history = new History([a!], clock);
  const passed = { passed: true, tookMs: 1, reason: "connected", evidence: "passed" } as const;
  history.add("a", passed);
  history.list([b!, a!]);
  assertEquals([history.of("a").passed, history.of("b").passed], [1, 0]);
  history.list([b!]);
  history.add("a", passed);
  assertEquals([history.of("a").passed, history.durations("a")], [0, undefined]);
});
