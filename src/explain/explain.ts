/**
 * How long it takes until clients are served again after a fault, from the options of a service alone: for
 * each kind of fault a sum whose terms are named, and the traps of these options. Pure. That the sums hold is
 * shown by `tests/simulation/explain_test.ts`, with the checker and the machine themselves.
 *
 * A worst sum is for a service without clients, whose next check has to notice the fault. A client whose
 * connection is refused asks for a check at once.
 */
import { formatDuration } from "../base/duration.ts";
import type { ServiceConfig } from "../config/options.ts";
import { DOUBT_MS, JITTER } from "../health/checker.ts";
import { KILL_GRACE_MS } from "../hooks/program.ts";
import { asksDatabase, databaseFaults, databaseTraps, promotionTerm } from "./databases.ts";

/** One term of a sum, in milliseconds. */
export interface Term {
  readonly what: string;
  readonly worstMs: number;
  readonly usualMs: number;
}

/** One kind of fault, and how long clients wait after it until they are served again. */
export interface FaultEstimate {
  readonly name: string;
  /** What has happened. */
  readonly meaning: string;
  /** Empty if these options never notice it. */
  readonly terms: readonly Term[];
  /** Infinity if it is not noticed, or if a trigger has no limit. */
  readonly worstMs: number;
  /** The sum in a usual case, in milliseconds. */
  readonly usualMs: number;
  /** Why it is not noticed, or what else one should know. */
  readonly note?: string;
}

/** What the options of one service mean for its clients. */
export interface Explanation {
  readonly service: string;
  readonly mode: "tcp" | "http";
  readonly faults: readonly FaultEstimate[];
  /** Combinations of options that do not do what they seem to, one sentence each. */
  readonly traps: readonly string[];
}

/** Facts that are not in the options. */
export interface ExplainInput {
  /** The number of programs that run on each switch. */
  readonly triggers: number;
  /** The most clients for which the process has descriptors, and its limit; undefined if nobody knows. */
  readonly clients?: { readonly max: number; readonly descriptors: number } | undefined;
  /** Set if several proxies share the decision: the lease, and how long they are waited for; in milliseconds. */
  readonly shared?: { readonly leaseMs: number; readonly heldMs: number } | undefined;
  /** What a drill measured, in milliseconds, in the place of what is usual. */
  readonly measured?: { readonly choiceMs: number; readonly triggersMs?: number };
}

/** By how much a check may exceed its deadlines: the kernel and this process need some time as well. */
export const SLACK_MS = 50;

/** The checks of a service, in milliseconds. */
export interface CheckTimes {
  readonly intervalMs: number;
  readonly doubtMs: number;
  readonly fall: number;
  /** The longest check. */
  readonly longestMs: number;
  readonly hasProgram: boolean;
}

/** Explains one service. */
export function explain(config: ServiceConfig, input: ExplainInput): Explanation {
  const checks = checksOf(config);
  const kinds = [
    ...(asksDatabase(config)
      ? databaseFaults(config, checks)
      : [...networkFaults(config), ...modeFaults(config, checks)]),
    ...programFaults(config, checks),
  ];
  const rest = afterwards(config, checks, input);
  const faults = kinds.map((kind) => sum(kind, checks, rest));
  if (input.shared !== undefined) faults.push(leaderGone(input.shared, rest));
  faults.push({
    ...NEVER,
    name: "name service gone",
    meaning: "the names of the upstreams cannot be looked up any more",
    note: "this proves nothing about an upstream: no verdict changes, and the active one serves on",
  });
  const { name: service, mode } = config;
  return { service, mode, faults, traps: trapsOf(config, checks, faults, input) };
}

function checksOf(config: ServiceConfig): CheckTimes {
  const { checkInterval, checkTimeout, checkScriptTimeout, failThreshold, checkHost } = config;
  const hasProgram = checkHost !== undefined;
  const programMs = hasProgram ? checkScriptTimeout + 2 * KILL_GRACE_MS : 0;
  return {
    intervalMs: checkInterval * (1 + JITTER),
    doubtMs: Math.min(checkInterval, DOUBT_MS) * (1 + JITTER),
    fall: failThreshold,
    longestMs: checkTimeout + programMs + SLACK_MS,
    hasProgram,
  };
}

// ---- Kinds of faults

/** A kind of fault: how long a check takes that meets it; undefined if no check does. */
export interface FaultKind {
  readonly name: string;
  readonly meaning: string;
  readonly check?: { readonly worstMs: number; readonly usualMs: number };
  /** True if it ends the connection that a check keeps, which asks for a check at once. */
  readonly endsConnection?: true;
  readonly note?: string;
}

const NEVER = { terms: [], worstMs: Infinity, usualMs: Infinity } as const;

function modeFaults(config: ServiceConfig, checks: CheckTimes): FaultKind[] {
  return config.mode === "http" ? httpFaults(config) : tcpFaults(config, checks);
}

function networkFaults({ checkTimeout }: ServiceConfig): FaultKind[] {
  const worstMs = checkTimeout + SLACK_MS;
  return [
    {
      name: "refused",
      meaning: "the process ended, and its machine refuses connections",
      check: { worstMs, usualMs: 0 },
      note:
        "a client that is refused asks for a check at once, so with clients it is noticed sooner",
    },
    {
      name: "silent",
      meaning: "the machine or its network is gone, and nothing answers",
      check: { worstMs, usualMs: checkTimeout },
    },
  ];
}

function tcpFaults(_: ServiceConfig, { hasProgram, longestMs }: CheckTimes): FaultKind[] {
  const note = "the kernel still accepts connections for it; a check program would notice it";
  return ["reset", "frozen"].map((name): FaultKind => {
    const meaning = name === "reset"
      ? "connections are accepted, and reset at once"
      : "the process stands still, and its machine accepts connections";
    const check = { worstMs: longestMs, usualMs: longestMs };
    return hasProgram ? { name, meaning, check } : { name, meaning, note };
  });
}

function httpFaults({ checkTimeout }: ServiceConfig): FaultKind[] {
  const worstMs = checkTimeout + SLACK_MS;
  return [
    {
      name: "reset",
      meaning: "connections are accepted, and reset at once",
      check: { worstMs, usualMs: 0 },
    },
    {
      name: "frozen",
      meaning: "the process stands still, and its machine accepts connections",
      check: { worstMs, usualMs: checkTimeout },
    },
    {
      name: "error status",
      meaning: "it answers with a status that check-status does not allow, such as 503",
      check: { worstMs, usualMs: 0 },
    },
  ];
}

function programFaults(_: ServiceConfig, { hasProgram, longestMs }: CheckTimes): FaultKind[] {
  if (!hasProgram) return [];
  return [{
    name: "check program",
    meaning: "the check program says no, or does not end",
    check: { worstMs: longestMs, usualMs: 0 },
  }];
}

// ---- Sums

function sum(
  { name, meaning, check, endsConnection, note }: FaultKind,
  checks: CheckTimes,
  rest: readonly Term[],
): FaultEstimate {
  const noted = note === undefined ? {} : { note };
  if (check === undefined) return { ...NEVER, name, meaning, ...noted };
  const { intervalMs, doubtMs, fall, longestMs } = checks;
  const terms: Term[] = [
    {
      what: endsConnection
        ? "until the end of the kept connection is seen, or the next check begins"
        : "until the next check begins (check-interval and 5 %)",
      worstMs: Math.max(intervalMs, longestMs),
      usualMs: endsConnection ? 0 : intervalMs / 2,
    },
    ...fall === 1 ? [] : [{
      what: `until ${fall - 1} more ${
        fall === 2 ? "check" : "checks"
      } failed (fail-threshold ${fall})`,
      worstMs: (fall - 1) * Math.max(doubtMs, check.worstMs),
      // A server that ended its connection and refuses another one is down at once.
      usualMs: endsConnection ? 0 : (fall - 1) * Math.max(doubtMs, check.usualMs),
    }],
    { what: "the length of a check that fails", ...check },
    ...rest,
  ];
  const total = (of: "worstMs" | "usualMs") => terms.reduce((all, term) => all + term[of], 0);
  return { name, meaning, terms, worstMs: total("worstMs"), usualMs: total("usualMs"), ...noted };
}

/** etcd ends a lease so long after its time at most, in milliseconds, unless it elects a leader itself. */
const LEASE_LATE_MS = 1_000;

/** The proxy that leads is lost with the upstream, and the others must wait for the end of its lease. */
function leaderGone(
  { leaseMs }: NonNullable<ExplainInput["shared"]>,
  rest: readonly Term[],
): FaultEstimate {
  const lease = {
    what: "until the lease of the proxy that led has ended (coordinator-lease)",
    worstMs: leaseMs + LEASE_LATE_MS,
    usualMs: leaseMs * 0.9,
  };
  const terms = [lease, ...rest];
  const total = (of: "worstMs" | "usualMs") => terms.reduce((all, term) => all + term[of], 0);
  return {
    name: "leader gone",
    meaning: "the proxy that leads is gone together with the active upstream",
    ...{ terms, worstMs: total("worstMs"), usualMs: total("usualMs") },
    note: "checks of the other proxies run meanwhile",
  };
}

/** The decision is stored where all proxies read it, and they hold their clients. */
function storing({ shared }: ExplainInput): Term[] {
  if (shared === undefined) return [];
  const what = "the decision is stored in etcd, and the other proxies hold their clients";
  // One call may wait for one endpoint that is dead, and one for another.
  return [{ what, worstMs: shared.heldMs + shared.leaseMs * 0.3, usualMs: 20 }];
}

/** From the verdict to the first client. */
function afterwards(
  config: ServiceConfig,
  { longestMs }: CheckTimes,
  input: ExplainInput,
): Term[] {
  const { triggers, measured } = input;
  const { triggerTimeout, triggerMode, onFailover } = config;
  const choice: Term = {
    what: "a check of every upstream, after the one under way",
    worstMs: 2 * longestMs,
    usualMs: measured?.choiceMs ?? 0,
  };
  const before = [choice, ...storing(input), ...promotionTerm(config)];
  if (onFailover === undefined || triggerMode === "beside") return before;
  const limitMs = triggerTimeout === 0 ? Infinity : triggerTimeout + 2 * KILL_GRACE_MS;
  const count = triggers === 1 ? "the trigger" : `${triggers} triggers, one after another`;
  const limit = triggerTimeout === 0 ? "no trigger-timeout" : "trigger-timeout";
  return [...before, {
    what: `${count} (${limit}; usually as long as it takes)`,
    worstMs: triggers === 0 ? 0 : triggers * limitMs,
    usualMs: measured?.triggersMs ?? 0,
  }];
}

// ---- Traps

function trapsOf(
  config: ServiceConfig,
  { hasProgram }: CheckTimes,
  faults: readonly FaultEstimate[],
  { triggers, clients }: ExplainInput,
): string[] {
  const { checkInterval, checkTimeout, checkScriptTimeout, hold, triggerTimeout } = config;
  const { failThreshold, recoverThreshold, onFailover, holdClients, maxConnections } = config;
  const upstreams = config.mode === "tcp" ? config.hosts.length : 1 + (config.backup?.length ?? 0);
  const traps: string[] = [];
  const trap = (is: boolean, text: string) => void (is && traps.push(text));
  trap(upstreams === 1, "there is one upstream only: nobody can take over");
  trap(
    checkTimeout > checkInterval,
    `check-timeout ${formatDuration(checkTimeout)} is longer than check-interval ${
      formatDuration(checkInterval)
    }: a silent upstream is checked less often than that`,
  );
  trap(
    hasProgram && checkScriptTimeout > checkInterval,
    `the check program may take ${formatDuration(checkScriptTimeout)}, longer than check-interval ${
      formatDuration(checkInterval)
    }: a slow one is checked less often than that`,
  );
  trap(
    onFailover !== undefined && triggers > 0 && triggerTimeout === 0,
    "no trigger-timeout: a trigger that hangs keeps clients out for ever",
  );
  trap(failThreshold === 1, "fail-threshold 1: one lost packet may move the traffic");
  trap(
    recoverThreshold === 1 && config.failback.kind === "auto",
    "recover-threshold 1 with failback auto: an upstream that flaps gets the traffic back each time",
  );
  traps.push(...databaseTraps(config));
  const longer = faults.filter(({ worstMs }) => worstMs > hold && worstMs !== Infinity);
  trap(
    longer.length > 0 && hold > 0,
    `hold ${formatDuration(hold)} is shorter than the worst sum of ${
      longer.map(({ name }) => name).join(", ")
    }: clients that come early are turned away`,
  );
  trap(hold === 0 || holdClients === 0, "no client may wait: each failover turns clients away");
  trap(
    clients !== undefined && clients.max < maxConnections,
    `max-connections ${maxConnections} is more than the ${clients?.descriptors} descriptors of this process allow (ulimit -n, LimitNOFILE): more than ${clients?.max} clients wait to be accepted`,
  );
  const unseen = faults.filter(({ terms, name }) =>
    terms.length === 0 && name !== "name service gone"
  );
  trap(
    unseen.length > 0,
    `no check notices these faults: ${unseen.map(({ name }) => name).join(", ")}`,
  );
  return traps;
}
