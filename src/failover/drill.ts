/**
 * A drill: every standby is checked at once, and the choice of a failover is made from the answers, without the
 * machine. Nothing of it changes a verdict, an epoch, or where clients go.
 */
import type { Clock } from "../base/clock.ts";
import { choose } from "./candidate.ts";
import { isDown } from "./health.ts";
import type { Probe, ProbeResult, TriggerOutcome } from "./ports.ts";
import { barOf, withLag } from "./roles.ts";
import { activeOf, type Policy, type State } from "./state.ts";
import type { Upstream } from "./upstream.ts";

/** The promotion that the triggers of a drill get in their environment. */
export interface DrillCause {
  readonly move: "drill";
  readonly id: string;
  /** That of the last decision: a drill decides nothing. */
  readonly epoch: number;
  readonly from: string | undefined;
  readonly to: string;
  readonly reason: string;
}

/** A trigger that has run; `reason` is undefined if it exited with 0. */
export interface DrillTrigger {
  /** Its path. */
  readonly program: string;
  readonly reason: string | undefined;
  readonly tookMs: number;
}

/** What a drill reads and calls. It gets nothing with which it could change the machine or the data plane. */
export interface DrillPorts {
  readonly clock: Clock;
  readonly state: () => State;
  readonly policy: Policy;
  /** The probe that the regular checks use, so a drill checks what a failover would check. */
  readonly probe: Probe;
  /** Runs the triggers; undefined if they are not to run. Rejects only because of a bug. */
  readonly runTriggers:
    | ((cause: DrillCause, signal: AbortSignal) => Promise<
      { readonly outcome: TriggerOutcome; readonly programs: readonly DrillTrigger[] }
    >)
    | undefined;
}

/** How a standby answered. */
export interface DrillAnswer {
  readonly upstream: Upstream;
  readonly result: ProbeResult;
  /** Why it would not be considered, whatever its answer is. */
  readonly excluded: string | undefined;
  /** True if its verdict is down: it would be considered after the others. */
  readonly isSuspect: boolean;
}

/** What a drill found. */
export interface DrillResult {
  /** The upstream that serves now; undefined if none does. */
  readonly active: string | undefined;
  /** In rank order. */
  readonly answers: readonly DrillAnswer[];
  /** The upstream that would take over; undefined if none would. */
  readonly chosen: string | undefined;
  /** Why this one, or why none. */
  readonly why: string;
  /** How long the choice took, in milliseconds: the answers of some upstreams may not have been needed. */
  readonly choiceMs: number;
  /** Undefined if they did not run. */
  readonly triggers: {
    readonly outcome: TriggerOutcome;
    readonly programs: readonly DrillTrigger[];
    readonly tookMs: number;
  } | undefined;
}

/** Makes a drill. An abort ends its checks and triggers; what has not answered by then has no verdict. */
export async function drill(
  ports: DrillPorts,
  { id, reason }: { readonly id: string; readonly reason: string },
  signal: AbortSignal,
): Promise<DrillResult> {
  const { clock, policy, runTriggers } = ports;
  const state = ports.state();
  const active = activeOf(state)?.upstream.name;
  const standbys = state.upstreams.filter(({ name }) => name !== active);
  const undrained = standbys.filter(({ name }) => !state.drained.has(name));
  const suspects = new Set(
    standbys.filter(({ name }) => isDown(state.health.get(name)!, policy)).map(({ name }) => name),
  );
  const answers = new Map<string, ProbeResult>();
  const began = clock.now();
  let choiceMs: number | undefined;
  await Promise.all(standbys.map(async (upstream) => {
    answers.set(upstream.name, await ask(ports, upstream, state, signal));
    // As in a selection: where roles are known, a missing answer may show a primary.
    const mayChoose = policy.roles === undefined ||
      standbys.every(({ name }) => suspects.has(name) || answers.has(name));
    const { candidates } = rolesIn(state, policy, answers, undrained);
    const isMade = mayChoose && choose(candidates, answers, suspects).found !== "pending";
    if (isMade) choiceMs ??= clock.now() - began;
  }));
  const { candidates, bars } = rolesIn(state, policy, answers, undrained);
  const { chosen, why } = choiceOf(candidates, answers, suspects);
  const found = {
    active,
    answers: standbys.map((upstream) => ({
      upstream,
      result: answers.get(upstream.name)!,
      excluded: state.drained.has(upstream.name)
        ? "drained by the operator"
        : bars.get(upstream.name),
      isSuspect: suspects.has(upstream.name),
    })),
    chosen,
    why,
    choiceMs: choiceMs ?? 0,
  };
  if (runTriggers === undefined || chosen === undefined || signal.aborted) {
    return { ...found, triggers: undefined };
  }
  const { epoch } = ports.state();
  // Something was decided meanwhile: the choice of this drill is no longer that of a failover.
  if (epoch !== state.epoch) {
    return { ...found, triggers: { outcome: { how: "cancelled" }, programs: [], tookMs: 0 } };
  }
  const triggersBegan = clock.now();
  const ran = await runTriggers(
    { move: "drill", id, epoch, from: active, to: chosen, reason },
    signal,
  );
  return { ...found, triggers: { ...ran, tookMs: clock.now() - triggersBegan } };
}

/** Checks as in a failover in which the active upstream is lost and no other one is chosen yet. */
function ask(
  { probe }: DrillPorts,
  upstream: Upstream,
  { lastChosen, epoch }: State,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return probe(upstream, { lastChosen, phase: "selecting", epoch }, signal);
}

/** Who may be chosen by these answers if the active server has not given one, and why the others may not. */
function rolesIn(
  state: State,
  policy: Policy,
  answers: ReadonlyMap<string, ProbeResult>,
  upstreams: readonly Upstream[],
): { candidates: readonly Upstream[]; bars: ReadonlyMap<string, string> } {
  const none: ReadonlySet<string> = new Set();
  const round = { round: 1, reason: "a drill", answers, suspects: none, passedOver: none };
  const health = new Map([...state.health].map(([name, known]) => {
    const last = answers.get(name);
    const server = last?.server === undefined ? known.server : withLag(state, name, last.server);
    return [name, { ...known, last, server }] as const;
  }));
  const supposed: State = { ...state, health, phase: { name: "selecting", ...round } };
  const bars = new Map(
    upstreams.flatMap(({ name }) => {
      const bar = barOf(supposed, policy, name);
      return bar === undefined ? [] : [[name, bar.reason] as const];
    }),
  );
  return { candidates: upstreams.filter(({ name }) => !bars.has(name)), bars };
}

function choiceOf(
  candidates: readonly Upstream[],
  answers: ReadonlyMap<string, ProbeResult>,
  suspects: ReadonlySet<string>,
): { chosen: string | undefined; why: string } {
  const nobody = (why: string) => ({ chosen: undefined, why });
  if (candidates.length === 0) return nobody("there is no other upstream that may be chosen");
  const choice = choose(candidates, answers, suspects);
  if (choice.found === "unknown") {
    const unknown = candidates.find(({ name }) => answers.get(name)?.evidence === "no_verdict")!;
    return nobody(
      `${unknown.name} could not be checked (${
        answers.get(unknown.name)!.reason
      }), and none behind it ` +
        "is chosen before that",
    );
  }
  if (choice.found !== "candidate") return nobody("no other upstream passes its check");
  const { name, rank } = choice.upstream;
  const better = candidates.filter((each) => each.rank < rank);
  const failed = better.filter((each) => answers.get(each.name)?.passed === false);
  const late = better.filter((each) => answers.get(each.name)?.passed === true);
  const before = [
    ...failed.map((each) => `${each.name} does not pass`),
    ...late.map((each) => `${each.name} is down until it has passed more checks`),
  ];
  return {
    chosen: name,
    why: before.length === 0
      ? "it is the first in order, and passes"
      : `${before.join(", ")}, and it is the next that passes`,
  };
}
