import { assert, assertEquals } from "@std/assert";
import type { Policy } from "../failover/state.ts";
import { Live } from "./testing/live.ts";
import { REFUSED } from "../failover/testing/results.ts";
import type { Recorded } from "./recording.ts";
import { replay } from "./replay.ts";
import type { Decided } from "./input_log.ts";
import { whatIf } from "./what_if.ts";

const FROZEN = { passed: false, tookMs: 1_000, reason: "no answer", evidence: "silent" } as const;

/** All upstreams pass for a minute; then `fault` happens. */
async function incident(fault: (live: Live) => void, policy: Partial<Policy> = {}) {
  await using live = new Live(policy, ["a", "b", "c"]);
  live.triggers = { tookMs: 700, outcome: { how: "ran" } };
  await live.clock.advance(60_000);
  fault(live);
  await live.clock.advance(30_000);
  return await live.recorded();
}

/** The upstream that clients were let in to, and when. */
function opened(decided: readonly Decided[]): { at: number; to: string } | undefined {
  for (const { at, effect } of decided) {
    if (effect.do === "publish" && effect.event.type === "promotion.finished") {
      return { at, to: effect.event.to };
    }
  }
}

const down = (live: Live) => void live.answers.set("a", REFUSED);

function laterBy(recorded: Recorded, policy: Partial<Policy>): number {
  const was = opened(recorded.decided)!;
  const other = opened(whatIf(recorded, { ...recorded.policy, ...policy }).decided)!;
  assertEquals(other.to, was.to);
  return Math.round(other.at - was.at);
}

Deno.test("the same policy makes the same decisions", async () => {
  const recorded = await incident(down);
  assertEquals(replay(recorded), recorded.decided);
  assertEquals(whatIf(recorded, recorded.policy).decided, recorded.decided);
  assertEquals(opened(recorded.decided)?.to, "b");
});

Deno.test("with a lower threshold the failover is earlier by the checks that it saves, with a higher one later", async () => {
  const recorded = await incident(down);
  assertEquals(laterBy(recorded, { fall: 2 }), -500);
  assertEquals(laterBy(recorded, { fall: 1 }), -1_000);
  // After the recorded inputs the failed upstream is assumed to fail still.
  assertEquals(laterBy(recorded, { fall: 6 }), 1_500);
});

Deno.test("an upstream that does not answer costs the timeout of each check", async () => {
  const recorded = await incident((live) => void live.answers.set("a", FROZEN));
  assertEquals(laterBy(recorded, { fall: 2 }), -1_000);
});

Deno.test("a short failure that moved traffic would not have done so with a higher threshold", async () => {
  const recorded = await incident((live) => {
    down(live);
    live.clock.after(3_200, () => live.answers.delete("a"));
  });
  assertEquals(opened(recorded.decided)?.to, "b");
  const { decided, isServed } = whatIf(recorded, { ...recorded.policy, fall: 12 });
  assertEquals([opened(decided), isServed], [undefined, true]);
});

Deno.test("the replay with other options predicts what a live run with these options does", async () => {
  const faults = [down, (live: Live) => void live.answers.set("a", FROZEN)];
  const policies = [
    ...[1, 2, 4, 7].map((fall) => ({ fall })),
    { fall: 2, triggers: "beside" as const },
    { fall: 5, onTriggerFailure: "next" as const },
  ];
  for (const fault of faults) {
    const recorded = await incident(fault);
    for (const policy of policies) {
      const happened = opened((await incident(fault, policy)).decided)!;
      const simulated = opened(whatIf(recorded, { ...recorded.policy, ...policy }).decided)!;
      assertEquals(simulated.to, happened.to);
      // The times of checks depend on how long earlier checks took.
      const off = Math.abs(simulated.at - happened.at);
      assert(off <= 5, `${off} ms off with ${JSON.stringify(policy)}`);
    }
  }
});

Deno.test("triggers end as recorded, and the other policy decides what follows", async () => {
  const fails = (live: Live) => {
    down(live);
    live.triggers = { tookMs: 400, outcome: { how: "failed", reason: "exit code 1" } };
  };
  const recorded = await incident(fails);
  assertEquals(opened(recorded.decided)?.to, "b");
  const next = whatIf(recorded, { ...recorded.policy, onTriggerFailure: "next" });
  const tried = next.decided.flatMap(({ effect }) =>
    effect.do === "publish" && effect.event.type === "promotion.started" ? [effect.event.to] : []
  );
  assertEquals(tried.slice(0, 2), ["b", "c"]);
});

Deno.test("without a hold clients are refused at once", async () => {
  const recorded = await incident(down);
  const { decided } = whatIf(recorded, { ...recorded.policy, holdMs: 0 });
  assert(decided.some(({ effect }) => effect.do === "refuse"));
  assert(!decided.some(({ effect }) => effect.do === "hold"));
});

Deno.test("a failback that would have happened later is extrapolated", async () => {
  const recorded = await incident((live) => {
    down(live);
    live.clock.after(5_000, () => live.answers.delete("a"));
  });
  assertEquals(recorded.policy.failback, { kind: "never" });
  const policy: Policy = { ...recorded.policy, failback: { kind: "after", ms: 60_000 } };
  const { decided, knownUntil } = whatIf(recorded, policy);
  const last = decided.findLast(({ effect }) =>
    effect.do === "publish" && effect.event.type === "promotion.finished"
  )!;
  assert(last.effect.do === "publish" && last.effect.event.type === "promotion.finished");
  assertEquals([last.effect.event.to, last.at > knownUntil], ["a", true]);
});
