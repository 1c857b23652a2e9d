/** What checks, triggers and sessions do in the world of another machine, by the facts of a record. */
import { assertEquals } from "@std/assert";
import type { ProbeResult, TriggerOutcome } from "../failover/ports.ts";
import { initialState, type Policy } from "../failover/state.ts";
import type { Input } from "../failover/steps.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { PASSED, REFUSED, upstreamsOf } from "../failover/testing/results.ts";
import type { RecordedFacts } from "./facts.ts";
import type { Entry } from "./input_log.ts";
import type { Recorded } from "./recording.ts";
import { SimulatedWorld } from "./simulated_world.ts";
import { Machine } from "./what_if.ts";

const RAN: TriggerOutcome = { how: "ran" };

/** Runs a machine that begins at 0, where `a` and `b` answer so; the decisions with their times. */
function decisions(
  answers: Readonly<Record<string, ProbeResult>>,
  { policy = {}, triggers = [], quietMs = [], entries = [] }: {
    readonly policy?: Partial<Policy>;
    readonly triggers?: RecordedFacts["triggers"];
    readonly quietMs?: RecordedFacts["quietMs"];
    readonly entries?: readonly Entry[];
  } = {},
): string[] {
  const start = initialState(upstreamsOf("a", "b"), 0);
  const full = { ...POLICY, ...policy };
  const machine = new Machine(start, full);
  const recorded: Recorded = {
    ...{ start, policy: full, entries, decided: [], wallOffset: 0, isCutOff: false },
    pace: { steadyMs: 2_000, doubtMs: 500 },
  };
  const facts: RecordedFacts = {
    answers: new Map(
      Object.entries(answers).map(([name, result]) => [name, [{ begun: 0, at: 0, result }]]),
    ),
    triggers,
    quietMs,
  };
  const effects = machine.take({ type: "begun" }, 0);
  const world = new SimulatedWorld(recorded, facts, machine, new Map());
  world.run({ at: 0, index: 0, effects, paces: new Map() });
  return machine.decided.flatMap(({ at, effect }) =>
    effect.do === "publish" && /^(promotion|selection)/.test(effect.event.type)
      ? [`${at} ${effect.event.type}`]
      : []
  );
}

Deno.test("checks answer as in the record and take as long, and so do triggers", () => {
  const triggers = [{ to: "b", tookMs: 700, outcome: RAN }];
  assertEquals(decisions({ a: REFUSED, b: { ...PASSED, tookMs: 5 } }, { triggers }), [
    ...["0 selection.started", "5 promotion.started", "705 promotion.finished"],
  ]);
});

Deno.test("triggers of another upstream tell how long unknown ones take, and end well", () => {
  const triggers = [{ to: "b", tookMs: 300, outcome: { how: "failed", reason: "4" } as const }];
  assertEquals(decisions({ a: PASSED, b: REFUSED }, { triggers }).at(-1), "301 promotion.finished");
});

Deno.test("triggers that run again end as they did the next time", () => {
  const failed = { how: "failed", reason: "exited with 4" } as const;
  const triggers = [
    { to: "a", tookMs: 10, outcome: failed },
    { to: "a", tookMs: 20, outcome: RAN },
  ];
  const policy = { onTriggerFailure: "retry" } as const;
  assertEquals(decisions({ a: PASSED, b: PASSED }, { triggers, policy }), [
    ...["0 selection.started", "1 promotion.started", "11 promotion.delayed"],
    "1031 promotion.finished",
  ]);
});

Deno.test("a world in which nobody ever passes ends after a while", () => {
  const found = decisions({ a: REFUSED, b: REFUSED });
  assertEquals(found.slice(0, 3), [
    ...["0 selection.started", "2 selection.failed", "1004 selection.failed"],
  ]);
  assertEquals(Number(found.at(-1)!.split(" ")[0]) <= 5 * 60_000, true);
});

Deno.test("an upstream that was never checked cannot be simulated", () => {
  assertEquals(decisions({ b: PASSED }), ["0 selection.started"]);
});

Deno.test("orders arrive as recorded, and sessions become quiet as they did", () => {
  const order = { name: "switchover", to: "b" } as const;
  const input: Input = { type: "ordered", id: 1, order, by: "ann", reason: "" };
  const found = (quietMs: readonly (number | undefined)[]) =>
    decisions({ a: PASSED, b: PASSED }, { entries: [{ at: 9_000, input }], quietMs }).slice(-2);
  assertEquals(found([250]), ["9000 promotion.started", "9250 promotion.finished"]);
  assertEquals(found([undefined]), ["9000 promotion.started", "19000 promotion.finished"]);
});
