import { assertEquals, assertStringIncludes } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { drill, type DrillCause } from "./drill.ts";
import type { ProbeResult } from "./ports.ts";
import { initialState, type Policy, type State } from "./state.ts";
import { POLICY } from "./testing/policy.ts";
import { answeredAs, NO_VERDICT, PASSED, REFUSED, upstreamsOf } from "./testing/results.ts";

const UPSTREAMS = upstreamsOf("a", "b", "c");

const UP = POLICY.rise + POLICY.fall - 1;

/** `a` serves; the levels are those of the other verdicts. */
function serving(levels: Readonly<Record<string, number>> = {}, more: Partial<State> = {}): State {
  const start = initialState(UPSTREAMS, 0);
  const health = new Map(
    [...start.health].map(([name, each]) => [name, { ...each, level: levels[name] ?? UP }]),
  );
  return {
    ...{ ...start, health, epoch: 4, admission: { is: "open" }, lastChosen: "a" },
    phase: {
      ...{ name: "serving", active: UPSTREAMS[0]!, epoch: 4, triggers: { is: "ran" } },
      failbackPlan: undefined,
    },
    ...more,
  };
}

/** A drill in which each standby answers with the given result after the given time. */
async function run(
  answers: Readonly<Record<string, ProbeResult>>,
  state = serving(),
  runTriggers = false,
  policy: Policy = POLICY,
) {
  const clock = new ManualClock();
  const asked: string[] = [];
  const causes: DrillCause[] = [];
  const result = drill(
    {
      clock,
      state: () => state,
      policy,
      probe: async ({ name }, { lastChosen, phase, epoch }) => {
        asked.push(`${name} ${lastChosen} ${phase} ${epoch}`);
        const answer = answers[name]!;
        await new Promise<void>((resolve) => clock.after(answer.tookMs, resolve));
        return answer;
      },
      runTriggers: runTriggers
        ? async (cause) => {
          causes.push(cause);
          await new Promise<void>((resolve) => clock.after(70, resolve));
          return { outcome: { how: "ran" }, programs: [] };
        }
        : undefined,
    },
    { id: "x-drill-1", reason: "a drill" },
    new AbortController().signal,
  );
  await clock.advance(10_000);
  return { ...await result, asked, causes };
}

Deno.test("standbys are checked at once, as in a failover, and the first that passes is chosen", async () => {
  const found = await run({ b: PASSED, c: { ...PASSED, tookMs: 900 } });
  assertEquals(found.asked, ["b a selecting 4", "c a selecting 4"]);
  assertEquals([found.active, found.chosen, found.choiceMs], ["a", "b", PASSED.tookMs]);
  assertEquals(found.triggers, undefined);
  assertStringIncludes(found.why, "the first in order");
});

Deno.test("the reason why an upstream is passed over is reported", async () => {
  const failed = await run({ b: REFUSED, c: PASSED });
  assertEquals([failed.chosen, failed.why], [
    "c",
    "b does not pass, and it is the next that passes",
  ]);
  const suspect = await run({ b: { ...PASSED, tookMs: 400 }, c: PASSED }, serving({ b: 0 }));
  assertEquals([suspect.chosen, suspect.choiceMs], ["c", PASSED.tookMs]);
  assertStringIncludes(suspect.why, "b is down until it has passed more checks");
  const drained = new Map([["b", { by: "ann", reason: "", since: 0 }]]);
  const without = await run({ b: PASSED, c: PASSED }, serving({}, { drained }));
  assertEquals([without.chosen, without.answers[0]!.excluded], ["c", "drained by the operator"]);
});

Deno.test("no upstream is chosen if none passes, or a better rank cannot be checked", async () => {
  assertEquals((await run({ b: REFUSED, c: REFUSED })).chosen, undefined);
  const unknown = await run({ b: NO_VERDICT, c: PASSED });
  assertEquals(unknown.chosen, undefined);
  assertStringIncludes(unknown.why, "b could not be checked (no descriptor)");
});

Deno.test("triggers are told that it is a drill, with the present epoch", async () => {
  const { causes, triggers } = await run({ b: PASSED, c: PASSED }, serving(), true);
  assertEquals(causes, [
    { move: "drill", id: "x-drill-1", epoch: 4, from: "a", to: "b", reason: "a drill" },
  ]);
  assertEquals(triggers?.tookMs, 70);
  assertEquals((await run({ b: REFUSED, c: REFUSED }, serving(), true)).causes, []);
});

Deno.test("a drill keeps to the rules for roles, as a failover does", async () => {
  const roles = { ...POLICY, roles: { maxLag: { seconds: 5 }, promotedBy: "us" } } as const;
  const result = await run(
    { b: answeredAs("standby", { lagSeconds: 9 }), c: answeredAs("standby", { lagSeconds: 1 }) },
    serving(),
    false,
    roles,
  );
  assertEquals([result.chosen, result.answers[0]!.excluded], [
    "c",
    "it is 9s behind (--max-lag 5s)",
  ]);
  const stale = await run({ b: answeredAs("primary"), c: REFUSED }, serving(), false, roles);
  assertEquals([stale.chosen, stale.answers[0]!.excluded], [
    undefined,
    "it takes writes, but a was chosen last: stale primary",
  ]);
});
