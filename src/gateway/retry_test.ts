import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { type FaultName, FAULTS } from "../base/fault.ts";
import { type FailedAttempt, isLocal, isRepeatable, RetryBudget, retryDecision } from "./retry.ts";

const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

const FAILED: FailedAttempt = {
  stage: "nothingSent",
  reused: false,
  replayable: true,
  deliveries: 0,
  refreshed: false,
};

Deno.test("each stage has its retry decision", () => {
  const cases: [change: Partial<FailedAttempt>, decision: ReturnType<typeof retryDecision>][] = [
    [{}, "next"],
    [{ deliveries: 2 }, "next"],
    [{ replayable: false }, "never"],
    [{ stage: "sentSafe", deliveries: 1 }, "next"],
    [{ stage: "sentSafe", deliveries: 2 }, "never"],
    [{ stage: "sentSafe", deliveries: 2, reused: true }, "never"],
    [{ stage: "sentSafe", replayable: false }, "never"],
    [{ stage: "sentSafe", deliveries: 1, reused: true }, "fresh"],
    [{ stage: "nothingSent", reused: true }, "fresh"],
    [{ stage: "nothingSent", reused: true, refreshed: true }, "next"],
    [{ stage: "sentUnsafe", reused: true }, "never"],
    [{ stage: "responseStarted", reused: true }, "never"],
  ];
  for (const [change, decision] of cases) {
    assertEquals(retryDecision({ ...FAILED, ...change }), decision, JSON.stringify(change));
  }
});

Deno.test("only methods that are safe or idempotent by definition are repeatable", () => {
  const methods = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "get", "LOCK"];
  const repeatable = methods.filter((method) => isRepeatable(method, false));
  assertEquals(repeatable, ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
  assertEquals(isRepeatable("POST", true), true);
});

Deno.test("the budget grows with the running exchanges, and an exchange that waits is next", async () => {
  const clock = new ManualClock();
  let active = 20;
  const budget = new RetryBudget(clock, () => active);
  const taken = () => budget.acquire(1_000, new AbortController().signal);
  assertEquals(await Promise.all([taken(), taken(), taken(), taken()]), [true, true, true, true]);
  const [fifth, sixth] = [taken(), taken()];
  budget.release();
  assertEquals(await fifth, true);
  await clock.advance(1_000);
  assertEquals([await sixth, clock.pending], [false, 0]);
  active = 100;
  assertEquals(await taken(), true);
});

Deno.test("an exchange whose client leaves while it waits for the budget takes nothing", async () => {
  const clock = new ManualClock();
  const budget = new RetryBudget(clock, () => 0);
  for (let i = 0; i < 3; i++) await budget.acquire(1_000, new AbortController().signal);
  const leaving = new AbortController();
  const waiting = budget.acquire(1_000, leaving.signal);
  leaving.abort();
  assertEquals([await waiting, clock.pending], [false, 0]);
});

Deno.test("a fault of this machine, or of its name service, is none of the upstream", () => {
  assertEquals(FAULT_NAMES.filter(isLocal).sort(), ["localShortage", "nameSilent"]);
});

Deno.test("an exchange without time left, or without its client, does not wait for a permit", async () => {
  const budget = new RetryBudget(new ManualClock(), () => 0);
  const { signal } = new AbortController();
  for (let taken = 0; taken < 3; taken++) assertEquals(await budget.acquire(0, signal), true);
  assertEquals(await budget.acquire(0, signal), false);
  assertEquals(await budget.acquire(500, AbortSignal.abort()), false);
});
