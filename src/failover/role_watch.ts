/**
 * What the machine learns from the roles that servers report: which were standbys since the last choice, that a
 * server in use may not be used any more, and who may not be chosen. `roles.ts` has the rules.
 */
import { rememberedName } from "./memory.ts";
import type { ProbeResult } from "./ports.ts";
import { type Bar, barOf, newPrimary, reportOf, takesWrites, withLag } from "./roles.ts";
import type { ServerReport } from "./server_report.ts";
import { activeOf, type State } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import { isDown } from "./health.ts";
import { trustedFor } from "./trust.ts";

/**
 * Learns from one result, before anything is decided by it. Returns the result that counts: an upstream in use that
 * may not be chosen has failed its check.
 */
export function learnRole(context: StepContext, name: string, result: ProbeResult): ProbeResult {
  if (context.policy.roles === undefined || result.server === undefined) return result;
  const settled = { ...result, server: withLag(context.state, name, result.server) };
  emitRole(context, name, result.server);
  noteStandbys(context, name, settled);
  return judged(context, name, settled);
}

function emitRole(context: StepContext, upstream: string, report: ServerReport): void {
  const { role, reason = "it does not say it", phase } = report;
  const before = context.health(upstream).server;
  // While it starts or ends, a server only says that.
  if (phase !== "running") return;
  if (role === "unknown") {
    const isKnown = before?.role === role && before.phase === phase &&
      withoutNumbers(before.reason ?? reason) === withoutNumbers(reason);
    if (!isKnown) context.emit({ type: "server.roleUnknown", upstream, reason });
  } else if (before?.role !== role) {
    const was = before === undefined || before.role === "unknown" ? {} : { before: before.role };
    context.emit({ type: "server.roleChanged", upstream, role, ...was });
  }
}

function withoutNumbers(text: string): string {
  return text.replace(/\d+/g, "0");
}

function noteStandbys(
  context: StepContext,
  name: string,
  { server, overtaken }: ProbeResult,
): void {
  const { state } = context;
  const chosen = trustedFor(state, name);
  const { role, phase } = server!;
  if (chosen === undefined || phase !== "running") return;
  if (role === "standby" && name !== chosen) return setStandby(context, name, "standby");
  if (role !== "primary") return;
  if (name !== chosen) {
    // Somebody may have promoted it: then the one chosen last is a standby now, or both are primaries.
    const isNew = state.standbys.has(name) && reportOf(state, name)?.role !== "primary";
    if (isNew && state.health.has(chosen)) {
      context.requestAction({ do: "probe", upstream: chosen });
    }
    return;
  }
  // An answer to a question that was asked before the other one became a primary shows nothing.
  if (overtaken === true || server!.readOnly === true) return;
  for (const other of state.standbys.keys()) {
    if (other !== name && takesWrites(state, other)) setStandby(context, other, "rival");
  }
}

function presentStandbys(state: State): State["standbys"] {
  const names = state.upstreams.map(({ name }) => name).filter((name) =>
    name !== state.lastChosen && reportOf(state, name)?.role === "standby"
  );
  return new Map(names.map((name) => [name, "standby"]));
}

function setStandby(context: StepContext, name: string, as: "standby" | "rival"): void {
  const { standbys } = context.state;
  if (standbys.get(name) !== as) context.set({ standbys: new Map(standbys).set(name, as) });
}

function judged(context: StepContext, name: string, result: ProbeResult): ProbeResult {
  const { state, policy } = context;
  if (!result.passed || !isInUse(state, name)) return result;
  const health = { ...context.health(name), last: result, server: result.server };
  const supposed = { ...state, health: new Map(state.health).set(name, health) };
  const bar = barOf(supposed, policy, name);
  if (bar === undefined) return result;
  const isOther = result.server?.role === "standby" || bar.kind === "follows";
  const instead = isOther ? newPrimary(supposed, name) : undefined;
  return {
    ...result,
    passed: false,
    evidence: "denied",
    reason: instead === undefined || bar.kind === "follows"
      ? bar.reason
      : `it is a standby now, and ${instead} is the primary`,
    ...instead === undefined ? {} : { isDecisive: true },
  };
}

/** Whether clients go to it, or may soon do so without another choice. */
function isInUse(state: State, name: string): boolean {
  const { phase, remembered } = state;
  if (activeOf(state)?.upstream.name === name) return true;
  if (phase.name === "promoting") {
    return phase.candidate.name === name || phase.back?.upstream.name === name;
  }
  return phase.name === "selecting" && remembered?.isGivenUp === false &&
    rememberedName(remembered) === name;
}

/** Runs after every input: publishes who may not be chosen, and forgets the standbys of an earlier choice. */
export function noteRoles(context: StepContext, before: State): void {
  const { state, policy, phase } = context;
  if (policy.roles === undefined) return;
  if (state.lastChosen !== before.lastChosen) {
    // Before the first choice nobody was promoted, so a standby of that time counts.
    const isFirst = before.lastChosen === undefined;
    context.set({ standbys: isFirst ? presentStandbys(state) : new Map() });
  }
  // While an upstream is being chosen, who may be chosen changes with each answer.
  if (phase.name !== "serving" && phase.name !== "waiting") return;
  const barred = new Map<string, Bar["kind"]>();
  const active = activeOf(state)?.upstream.name;
  for (const { name } of state.upstreams) {
    const bar = name === active || isDown(context.health(name), policy)
      ? undefined
      : barOf(context.state, policy, name);
    const was = state.barred.get(name);
    // A standby that has just become a primary: the one chosen last is being asked whether it still is one.
    const isOpen = bar?.kind === "rival" && state.standbys.get(name) === "standby";
    if (bar !== undefined && bar.kind !== "waits" && !isOpen) {
      barred.set(name, bar.kind);
      if (was !== bar.kind) {
        context.emit({ type: "upstream.barred", upstream: name, ...bar });
      }
    } else if (was !== undefined && name !== active && !isDown(context.health(name), policy)) {
      context.emit({ type: "upstream.allowed", upstream: name });
    }
  }
  const isSame = barred.size === state.barred.size &&
    [...barred].every(([name, kind]) => state.barred.get(name) === kind);
  if (!isSame) context.set({ barred });
}
