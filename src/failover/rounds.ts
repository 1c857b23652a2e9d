/** The loss of service, and the rounds of probes that follow it. `selection.ts` judges their answers. */
import { leaveService } from "./admission.ts";
import { isDown } from "./health.ts";
import type { ProbeResult } from "./ports.ts";
import type { StepContext } from "./step_context.ts";

/** No upstream: nobody is passed over. */
export const NO_NAMES: ReadonlySet<string> = new Set();

/** The active upstream cannot be used: holds the clients and begins a selection. */
export function lose(context: StepContext, reason: string): void {
  leaveService(context, reason);
  startRound(context, 1, reason);
}

/** Probes every upstream except those in `known`, whose results of this moment are used. */
export function startRound(
  context: StepContext,
  round: number,
  reason: string,
  known: readonly (readonly [string, ProbeResult])[] = [],
  passedOver = NO_NAMES,
): void {
  const { state, policy } = context;
  const answers = new Map(known);
  const down = state.upstreams.filter((u) => isDown(context.health(u.name), policy));
  const suspects = new Set(down.map((u) => u.name));
  context.enter({ name: "selecting", round, reason, answers, suspects, passedOver });
  if (round === 1) context.emit({ type: "selection.started", reason });
  for (const { name } of state.upstreams) {
    if (!answers.has(name)) context.requestAction({ do: "probe", upstream: name });
  }
}
