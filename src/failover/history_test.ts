import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { ANSWERS_MAX, History } from "./history.ts";
import type { ProbeResult } from "./ports.ts";

const address = { kind: "tcp", host: "a", port: 1 } as const;
const PASS: ProbeResult = { passed: true, tookMs: 1, reason: "connected", evidence: "passed" };
const FAIL: ProbeResult = { passed: false, tookMs: 2, reason: "refused", evidence: "refused" };

Deno.test("a history keeps the last answers with their time, and counts all of them", async () => {
  const clock = new ManualClock(0, 1_000);
  const history = new History([{ name: "a", address, rank: 0 }], clock);
  assertEquals(history.of("a"), { answers: [], passed: 0, failed: 0, noVerdict: 0, run: 0 });
  for (let i = 0; i < ANSWERS_MAX; i++) history.add("a", PASS);
  await clock.advance(500);
  history.add("a", FAIL);
  history.add("a", FAIL);
  const { answers, passed, failed, run } = history.of("a");
  assertEquals([answers.length, passed, failed, run], [ANSWERS_MAX, ANSWERS_MAX, 2, 2]);
  assertEquals(history.durations("a")!.counts.reduce((sum, count) => sum + count), ANSWERS_MAX + 2);
  assertEquals(history.durations("b"), undefined);
  assertEquals(answers.at(-1), { ...FAIL, time: 1_500 });
  assertEquals(answers[0], { ...PASS, time: 1_000 });
});
