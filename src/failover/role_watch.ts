/**
 * What the machine learns from the roles that servers report: which were standbys since the last choice, that a
 * server in use may not be used any more, and who may not be chosen. `roles.ts` has the rules.
 */
import { rememberedName } from "./memory.ts";
import type { ProbeResult } from "./ports.ts";
import { type Bar, barOf, newPrimary, reportOf, takesWrites, withLag } from "./roles.ts";
import type { Role, ServerReport } from "./server_report.ts";
import { activeOf, type SeenRole, type State } from "./state.ts";
import type { StepContext } from "./step_context.ts";
import { isDown } from "./health.ts";

/**
 * Learns from one result, before anything is decided by it. Returns the result that counts: an upstream in use that
 * may not be chosen has failed its check.
 */
export function learnRole(context: StepContext, name: string, result: ProbeResult): ProbeResult {
  if (context.policy.roles === undefined || result.server === undefined) return result;
  const settled = { ...result, server: completed(context.state, name, result.server) };
  emitRole(context, name, result.server);
  noteStandbys(context, name, settled);
  return judged(context, name, settled);
}

/** The report with the lag, and with the last role of a server that only says that it starts or ends. */
function completed(state: State, name: string, report: ServerReport): ServerReport {
  if (report.phase === "running") return withLag(state, name, report);
  const { role = "unknown" } = state.health.get(name)?.server ?? {};
  return report.role === "unknown" ? { ...report, role } : report;
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
  // Not the candidate of a promotion, which may fail.
  const chosen = state.lastChosen ?? rememberedName(state.remembered);
  const { role, phase } = server!;
  if (chosen === undefined || phase !== "running") return;
  if (name !== chosen) return noteOther(context, name, role, chosen);
  // An answer to a question that was asked before another one became a primary shows nothing, and that of a primary
  // without clients is no reason against another one.
  if (role !== "primary" || overtaken === true || server!.readOnly === true) return;
  if (activeOf(state)?.upstream.name !== name) return;
  // If its last answer was another one, somebody may have promoted it again: other primaries may be older.
  const standbys = takesWrites(state, name)
    ? standbysBeside(state, name)
    : presentStandbys(state, name);
  context.set({ standbys });
}

function noteOther(context: StepContext, name: string, role: Role, chosen: string): void {
  const { standbys, health } = context.state;
  const seen = standbys.get(name);
  if (role === "standby") return setStandby(context, name, "standby");
  if (role !== "primary" || seen !== "standby") return;
  // Somebody has promoted it: the one chosen last is a standby now, or gone, or both are primaries.
  setStandby(context, name, "promoted");
  if (health.has(chosen)) context.requestAction({ do: "probe", upstream: chosen });
}

/**
 * The standbys since the last choice, when the upstream that was chosen says that it is the primary. Those that were
 * promoted are its rivals. Those that do not answer may have been promoted unseen, while this one went on to take
 * writes, so they must be seen as standbys again.
 */
function standbysBeside(state: State, chosen: string): State["standbys"] {
  const present = [...state.standbys].flatMap(([name, seen]): (readonly [string, SeenRole])[] => {
    if (name === chosen) return [];
    if (seen !== "standby") return [[name, "rival"]];
    return isStandby(state, name) ? [[name, seen]] : [];
  });
  const isSame = present.length === state.standbys.size &&
    present.every(([name, seen]) => state.standbys.get(name) === seen);
  return isSame ? state.standbys : new Map(present);
}

function presentStandbys(state: State, chosen: string | undefined): State["standbys"] {
  const names = state.upstreams.map(({ name }) => name).filter((name) =>
    name !== chosen && isStandby(state, name)
  );
  return new Map(names.map((name) => [name, "standby"]));
}

function isStandby(state: State, name: string): boolean {
  const report = reportOf(state, name);
  return report?.role === "standby" && report.phase === "running";
}

function setStandby(context: StepContext, name: string, as: SeenRole): void {
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
  const { role, phase } = result.server!;
  const isOther = phase === "running" && (role === "standby" || bar.kind === "follows");
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

/** Forgets the standbys of an earlier choice. Runs after every input, before anything else is planned. */
export function forgetStandbys(context: StepContext, before: State): void {
  const { state, policy } = context;
  if (policy.roles === undefined) return;
  const { lastChosen, lastServed } = state;
  // The one chosen before may have been promoted again.
  const isSame = lastServed?.promotion?.epoch === before.lastServed?.promotion?.epoch &&
    !isChosenAnew(state, before);
  if (lastChosen !== before.lastChosen || !isSame) {
    // Before the first choice nobody was promoted, so a standby of that time counts.
    const isFirst = before.lastChosen === undefined;
    context.set({ standbys: isFirst ? presentStandbys(state, lastChosen) : new Map() });
  } else if (lastServed !== before.lastServed) {
    // It serves again after a restart, and nobody knows what happened meanwhile.
    context.set({ standbys: presentStandbys(state, lastChosen) });
  }
}

/**
 * Whether this proxy has just read that others have chosen, and finds perhaps the same server as before. It may have
 * missed decisions in between, so that what was a standby since its earlier choice may be stale since this one.
 */
function isChosenAnew({ cluster }: State, { cluster: seen, epoch }: State): boolean {
  const { decision, instance } = cluster ?? {};
  if (decision?.phase !== "done" || decision.by === instance) return false;
  const known = seen?.decision;
  // What is remembered from before a restart is not older than this epoch.
  if (known === undefined) return decision.epoch > epoch;
  return known.epoch !== decision.epoch || known.phase !== "done";
}

/** Publishes who may not be chosen. Runs after every input. */
export function publishBars(context: StepContext): void {
  const { state, policy, phase } = context;
  if (policy.roles === undefined) return;
  // While an upstream is being chosen, who may be chosen changes with each answer.
  if (phase.name !== "serving" && phase.name !== "waiting") return;
  const barred = new Map<string, Bar["kind"]>();
  const active = activeOf(state)?.upstream.name;
  for (const { name } of state.upstreams) {
    const bar = name === active || isDown(context.health(name), policy)
      ? undefined
      : barOf(context.state, policy, name);
    const was = state.barred.get(name);
    const isOpen = bar?.kind === "rival" && state.standbys.get(name) === "promoted";
    if (isOpen) {
      // It has just become a primary: the one chosen last is being asked whether it still is one.
      if (was !== undefined) barred.set(name, was);
    } else if (bar !== undefined && bar.kind !== "waits") {
      barred.set(name, bar.kind);
      if (was !== bar.kind) context.emit({ type: "upstream.barred", upstream: name, ...bar });
    } else if (was !== undefined && name !== active && !isDown(context.health(name), policy)) {
      context.emit({ type: "upstream.allowed", upstream: name });
    }
  }
  const isSame = barred.size === state.barred.size &&
    [...barred].every(([name, kind]) => state.barred.get(name) === kind);
  if (!isSame) context.set({ barred });
}
