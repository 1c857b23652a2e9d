/**
 * The state of one service as JSON for `/__failover/state`: what is happening, since when and why, and what
 * would change it. The keys `on_backup`, `since_unix`, `primary` and `backup` and the flat structure are
 * those of the original program, kagehq/failover. Upstream names contain no credentials, because the config
 * masks them. Pure.
 */
import { clusterJson } from "./cluster.ts";
import { formatDuration } from "../base/duration.ts";
import type { Clock } from "../base/clock.ts";
import { type Health, isDown, isUp, type Thresholds } from "../failover/health.ts";
import { whyNoFailback } from "../failover/moving_back.ts";
import type { StandingOrder } from "../failover/orders.ts";
import { lagOf } from "../failover/roles.ts";
import { activeOf, letsClientsThrough, type Policy, type State } from "../failover/state.ts";
import type { Upstream } from "../failover/upstream.ts";
import {
  barIn,
  COUNTER_ROWS,
  isOnBackup,
  isReady,
  type ServiceCounters,
  type ServiceView,
} from "./view.ts";

type Json = Readonly<Record<string, unknown>>;

/** Converts the clock's milliseconds to whole seconds since 1970. */
type ToUnix = (at: number) => number;

/**
 * The whole report of one service. Keys are in snake_case; `*_unix` are seconds since 1970. `saysWho` is
 * false for the public: who gave an order, and why, concerns operators only.
 */
export function stateReport(view: ServiceView, clock: Clock, saysWho = true): Json {
  const state = view.state();
  const { policy } = view;
  const wallOffset = clock.wall() - clock.now();
  const toUnix: ToUnix = (at) => Math.floor((wallOffset + at) / 1_000);
  const standing = (order: StandingOrder | undefined) => standingReport(order, toUnix, saysWho);
  const [primary, ...backups] = state.upstreams;
  const { name } = primary!;
  const { answers, run } = view.history(name);
  const { admission, lastServed } = state;
  const lastActive = lastServed?.to;
  const lastPassed = answers.findLast(({ evidence }) => evidence !== "no_verdict")?.passed;
  return {
    service: view.name,
    mode: view.mode,
    on_backup: isOnBackup(view),
    since_unix: toUnix(admission.is === "open" ? lastServed!.since : admission.outSince),
    primary: name,
    backup: backups[0]?.name ?? null,
    ready: isReady(view),
    fail_count: lastPassed === false ? run : 0,
    recover_count: lastPassed && isDown(state.health.get(name)!, policy) ? run : 0,
    phase: state.phase.name,
    active: activeOf(state)?.upstream.name ?? null,
    last_active: lastActive ?? null,
    candidate: state.phase.name === "promoting" ? state.phase.candidate.name : null,
    triggers: triggersReport(state, toUnix),
    last_promoted: state.lastChosen ?? null,
    epoch: state.epoch,
    admission: letsClientsThrough(state)
      ? "open"
      : state.held === undefined
      ? admission.is
      : "holding",
    hold_ends_unix: holdEnd(state, toUnix),
    paused: standing(state.paused),
    held_by_order: standing(state.held),
    pinned: state.pinned ?? null,
    cluster: clusterJson(view),
    failback: failbackReport(state, policy, toUnix),
    counters: countersReport(view.counters()),
    upstreams: state.upstreams.map((upstream) => ({
      ...upstreamReport(view, state, upstream, toUnix),
      drained: standing(state.drained.get(upstream.name)),
    })),
  };
}

/** The four fields of the original program, for everybody. */
export function briefReport(view: ServiceView, clock: Clock): Json {
  const { on_backup, since_unix, primary, backup } = stateReport(view, clock, false);
  return { on_backup, since_unix, primary, backup };
}

function holdEnd({ admission, held }: State, toUnix: ToUnix): number | null {
  if (held !== undefined) return toUnix(held.until);
  const isBounded = admission.is === "holding" && admission.until !== Infinity;
  return isBounded ? toUnix(admission.until) : null;
}

/** An order that stands: since when, by whom and why; null if there is none. */
function standingReport(
  standing: StandingOrder | undefined,
  toUnix: ToUnix,
  saysWho: boolean,
): Json | null {
  if (standing === undefined) return null;
  const { since, by, reason } = standing;
  return { since_unix: toUnix(since), ...(saysWho ? { by, reason } : {}) };
}

/** The state of the triggers of the current or last promotion; null before the first. */
function triggersReport({ phase }: State, toUnix: ToUnix): Json | null {
  if (!("triggers" in phase)) return null;
  const { triggers } = phase;
  return {
    state: triggers.is,
    reason: "reason" in triggers ? triggers.reason : null,
    next_attempt_unix: "at" in triggers ? toUnix(triggers.at) : null,
  };
}

function failbackReport(state: State, policy: Policy, toUnix: ToUnix): Json {
  const { failback, damping } = policy;
  const plan = state.phase.name === "serving" ? state.phase.failbackPlan : undefined;
  return {
    policy: failback.kind === "after" ? `after ${formatDuration(failback.ms)}` : failback.kind,
    damping,
    planned: plan === undefined
      ? null
      : { to: plan.to, at_unix: toUnix(plan.at), damping_ms: plan.dampingMs },
    refused_now_because: whyNoFailback(state, policy) ?? null,
  };
}

function countersReport(counters: ServiceCounters): Json {
  const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
  return Object.fromEntries(
    COUNTER_ROWS.flatMap(([key]) =>
      counters[key] === undefined ? [] : [[
        snake(key),
        counters[key],
      ]]
    ),
  );
}

function upstreamReport(
  view: ServiceView,
  state: State,
  { name, rank }: Upstream,
  toUnix: ToUnix,
): Json {
  const { policy } = view;
  const health = state.health.get(name)!;
  const { answers, passed, failed, noVerdict } = view.history(name);
  const nextAt = view.nextCheckAt?.(name);
  return {
    name,
    rank,
    active: activeOf(state)?.upstream.name === name,
    verdict: isUp(health, policy) ? "up" : isDown(health, policy) ? "down" : "unknown",
    since_unix: toUnix(health.since),
    ...serverReport(view, state, name),
    doubt: health.doubt,
    checks_passed: passed,
    checks_failed: failed,
    checks_no_verdict: noVerdict,
    no_verdict: health.noVerdict === undefined
      ? null
      : { since_unix: toUnix(health.noVerdict.since), reason: health.noVerdict.reason },
    last_results: answers.map((answer) => ({
      time: new Date(answer.time).toISOString(),
      passed: answer.passed,
      reason: answer.reason,
      evidence: answer.evidence,
      took_ms: Math.round(answer.tookMs * 10) / 10,
    })),
    next_check_unix: nextAt === undefined ? null : toUnix(nextAt),
    what_would_change_it: outlook(health, policy),
  };
}

/** What the server said of itself, and whether it may be chosen; null where its checks do not learn that. */
function serverReport(view: ServiceView, state: State, name: string): Json {
  const report = state.health.get(name)?.server;
  if (report === undefined) return { server: null, barred: null };
  const { role, reason, phase, readOnly, source } = report;
  const { bytes, seconds } = lagOf(state, name);
  const bar = barIn(view, name);
  return {
    server: {
      ...{ role, reason: reason ?? null, phase, read_only: readOnly ?? null },
      lag_bytes: bytes ?? null,
      lag_seconds: seconds ?? null,
      source: source ?? null,
    },
    barred: bar === undefined ? null : { kind: bar.kind, reason: bar.reason },
  };
}

/** What would change the verdict, as a sentence. */
export function outlook({ level, doubt }: Health, { rise, fall }: Thresholds): string {
  if (level === undefined) return "the first check decides";
  if (level < rise) return `${checks(rise - level, "passed")} brings it up`;
  const left = checks(level - rise + 1, "failed");
  if (doubt === "hard") return `it refused a client: one refused check brings it down`;
  const isFull = level === rise + fall - 1;
  return isFull ? `${left} brings it down` : `${left} brings it down, one passed clears it`;
}

function checks(count: number, result: string): string {
  return count === 1 ? `one more ${result} check` : `a run of ${count} ${result} checks`;
}
