/** What the options of a service make of its checks, triggers and policy. Part of the composition root. */
import type { WorstDetection } from "../admin/view.ts";
import type { Clock } from "../base/clock.ts";
import { type Key, KEYS, optionOf, type ServiceConfig } from "../config/options.ts";
import type { Probe, Triggers } from "../failover/ports.ts";
import type { Policy } from "../failover/state.ts";
import { allOf } from "../health/all_of.ts";
import { DOUBT_MS } from "../health/checker.ts";
import { guardStandstill } from "../health/standstill.ts";
import { scriptProbe } from "../hooks/check.ts";
import { KILL_GRACE_MS } from "../hooks/program.ts";
import { TriggerFiles } from "../hooks/trigger_files.ts";
import { ProgramTriggers } from "../hooks/trigger.ts";
import type { CheckPace } from "../incidents/recording.ts";
import type { ControlPlaneParts } from "./control_plane.ts";
import type { Membership } from "./membership.ts";
import type { ServiceContext } from "./service.ts";

/** How many milliseconds a probe may exceed its deadlines: more than it takes to kill a program. */
const PROBE_SLACK_MS = 2 * KILL_GRACE_MS + 1_000;

/** How often upstreams are checked. */
export function paceOf({ checkInterval }: ServiceConfig): CheckPace {
  return { steadyMs: checkInterval, doubtMs: DOUBT_MS };
}

/** Options of checks that change no check, but when it is made and what follows from it. */
const NO_PROBE: ReadonlySet<Key> = new Set([
  "checkInterval",
  "failThreshold",
  "recoverThreshold",
  "maxLag",
]);
const PROBE_KEYS = KEYS.filter((key) => optionOf(key).group === "Checks" && !NO_PROBE.has(key));

/** A text that differs if a check is another one with these options. */
export function probeKeyOf(config: ServiceConfig): string {
  const values = config as unknown as Readonly<Partial<Record<Key, unknown>>>;
  return JSON.stringify(PROBE_KEYS.map((key) => values[key]));
}

/** How long a check may take at most, in milliseconds. */
export function probeMaxOf({ checkTimeout, checkScriptTimeout }: ServiceConfig): number {
  return checkTimeout + checkScriptTimeout + PROBE_SLACK_MS;
}

/** How long each kind of fault is noticed after at worst. Loaded when somebody looks at it. */
export async function worstDetection(config: ServiceConfig): Promise<readonly WorstDetection[]> {
  const { explain } = await import("../explain/explain.ts");
  return explain(config, { triggers: 0 }).faults
    .filter(({ worstMs }) => worstMs !== Infinity)
    .map(({ name, worstMs }) => ({ fault: name, ms: worstMs }));
}

/** The check of an upstream: the one over the network, and the program after it. */
export function wholeProbeOf(config: ServiceConfig, bare: Probe, context: ServiceContext): Probe {
  const probe = guardStandstill(bare, config.checkTimeout);
  if (config.checkHost === undefined) return probe;
  const settings = {
    path: config.checkHost,
    timeoutMs: config.checkScriptTimeout,
    service: config.name,
  };
  const program = scriptProbe(settings, context.programs, context.publish);
  return allOf(probe, guardStandstill(program, config.checkScriptTimeout + 2 * KILL_GRACE_MS));
}

/** Whether triggers run in the same way. */
export function hasSameTriggers(one: ServiceConfig, other: ServiceConfig): boolean {
  return one.onFailover === other.onFailover && one.triggerTimeout === other.triggerTimeout &&
    one.onTriggerFailure === other.onTriggerFailure;
}

/** The triggers that are found, if there are to be any. */
export function triggerFilesOf(
  { onFailover }: ServiceConfig,
  clock: Clock,
): TriggerFiles | undefined {
  return onFailover === undefined ? undefined : new TriggerFiles(onFailover, clock);
}

/** What runs the triggers of a promotion. */
export function triggersOf(
  config: ServiceConfig,
  context: ServiceContext,
  files: TriggerFiles | undefined,
  membership: Membership | undefined,
): Triggers {
  if (config.onFailover === undefined) return { run: () => Promise.resolve({ how: "ran" }) };
  const settings = {
    path: config.onFailover,
    timeoutMs: config.triggerTimeout,
    goOn: config.onTriggerFailure === "continue",
    service: config.name,
    warnings: context.triggerWarnings,
    ...membership === undefined ? {} : { guard: () => membership.guard() },
  };
  const find = files === undefined ? undefined : () => files.current();
  return new ProgramTriggers(settings, context.programs, context.publish, find);
}

/** The policy of the machine. */
export function policyOf(
  config: ServiceConfig,
  parts: Pick<ControlPlaneParts, "triggers" | "failOpen">,
  { instance, drainMs }: Pick<ServiceContext, "instance" | "drainMs">,
): Policy {
  // A service with a trigger or a check program probably has a state, as a database has, which clients
  // must not change on two servers at the same time.
  const hasState = config.mode === "tcp" &&
    (config.onFailover !== undefined || config.checkHost !== undefined || config.check !== "tcp");
  return {
    rise: config.recoverThreshold,
    fall: config.failThreshold,
    holdMs: config.hold,
    holdWhile: config.holdWhile,
    failback: config.failback,
    damping: config.failbackDamping,
    maxBackoffMs: config.maxBackoff,
    sessionsOnDown: config.sessionsOnDown,
    sessionsOnMove: config.sessionsOnMove ?? (hasState ? "cut" : "drain"),
    graceMs: config.grace,
    drainMs,
    onTriggerFailure: config.onTriggerFailure,
    triggers: parts.triggers,
    failOpen: parts.failOpen,
    ...rolesOf(config),
    instance,
  };
}

function rolesOf(config: ServiceConfig): Pick<Policy, "roles"> {
  if (config.mode !== "tcp" || config.check === "tcp") return {};
  const { maxLag, promote, onFailover } = config;
  const promotedBy = promote ? "us" : onFailover === undefined ? "others" : "trigger";
  return { roles: { maxLag, promotedBy } };
}
