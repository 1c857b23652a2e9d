import { assertEquals } from "@std/assert";
import type { Input } from "../failover/steps.ts";
import { InputLog } from "./input_log.ts";
import { taker } from "../failover/testing/taker.ts";

/** Steps a machine, and records each step in the log. */
const runner = (log: InputLog) => taker((taken) => log.add(taken));

const passed = (stage: number): Input => ({
  type: "probed",
  upstream: "a",
  result: { passed: true, tookMs: 1, reason: "connected", evidence: "passed" },
  stage,
});

Deno.test("a range begins with a state at or before the requested time", () => {
  const log = new InputLog();
  assertEquals(log.since(0), undefined);
  const take = runner(log);
  take({ type: "begun" }, 0);
  for (let at = 1; at <= 100; at++) take(passed(2), at);
  const { start, entries } = log.since(70)!;
  assertEquals([start.now <= 70, entries[0]!.at >= start.now, entries.at(-1)!.at], [
    true,
    true,
    100,
  ]);
  assertEquals(log.since(-5)!.entries.length, 101);
});

Deno.test("the log is limited, and empty for another machine", () => {
  const log = new InputLog();
  const take = runner(log);
  for (let at = 1; at <= 5_000; at++) take(passed(0), at);
  assertEquals(log.since(0)!.entries.length <= 256, true);
  runner(log)({ type: "begun" }, 7);
  assertEquals(log.since(0)!.entries.length, 1);
});

Deno.test("a doubt that changes nothing is left out", () => {
  const log = new InputLog();
  const take = runner(log);
  const doubt = { upstream: "a", epoch: 7, hard: true, reason: "reset" };
  take({ type: "doubted", doubt }, 1);
  assertEquals(log.since(0), undefined);
});
