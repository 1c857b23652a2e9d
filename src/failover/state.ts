/**
 * The state of the failover machine. This comment explains the model; its inputs and effects are in `steps.ts`,
 * the transitions in `machine.ts` and the files that it names.
 *
 * A service is always in one of four phases:
 *
 *     selecting ──► promoting ──► serving
 *      ▲  │  ▲          │           │
 *      │  ▼  └──────────┴───────────┘
 *     waiting
 *
 * - **selecting**: every upstream is being probed; the first in rank order that passes becomes the
 *   candidate.
 * - **waiting**: no upstream passed in a round. The next one begins after the back-off, or when any passes.
 * - **promoting**: the candidate's triggers run. It does not receive clients yet.
 * - **serving**: new clients go to the active upstream.
 *
 * The phase does not decide alone what happens to new clients; the **admission** says that. They are refused
 * (`closed`), they wait (`holding`), they go to a promoted upstream (`open`), or they go to a fail-open target
 * (`failOpen`): if no upstream passes, the best one that has not refused a connection gets the clients without
 * being promoted, and its triggers do not run. Admission is open while serving, and also during a failback whose
 * triggers may run beside the traffic: the old upstream serves until they have ended.
 *
 * Every promotion has an epoch, a number that only grows. A failback or switchover that fails is no
 * outage: the upstream that served before continues to serve. If admission was closed for the move, it gets
 * a new epoch.
 *
 * A probe that could not be sent because of trouble on this machine has the evidence `no_verdict`. It is not an
 * answer: it changes no verdict, and no other upstream is promoted because this answer is missing.
 *
 * A restart of the process is no reason to promote anything: the upstream that served before it serves
 * again as soon as it passes, straight from `selecting`.
 *
 * The machine is pure. It knows no time but `now`, an argument in milliseconds.
 */
import type { FailbackPolicy } from "./failback.ts";
import { type ClusterView, mayDecide } from "./cluster.ts";
import { type Health, type Thresholds, unknownHealth } from "./health.ts";
import { listedOnly, type Memory, type Remembered, rememberedOf } from "./memory.ts";
import type { StandingOrder } from "./orders.ts";
import type { ProbeResult, Promotion } from "./ports.ts";
import type { Bar, RolePolicy } from "./roles.ts";
import type { Upstream } from "./upstream.ts";

/** The settings of one service that the machine needs. All times are in milliseconds. */
export interface Policy extends Thresholds {
  /** How long new clients wait after service is lost; with 0 they are refused at once. */
  readonly holdMs: number;
  /**
   * `promoting`: clients are refused as soon as no upstream passed in a whole round. `down`: they are
   * held for `holdMs` in any case.
   */
  readonly holdWhile: "promoting" | "down";
  /** When the hold is over and no upstream passes, clients go to a fail-open target. */
  readonly failOpen: boolean;
  readonly failback: FailbackPolicy;
  readonly damping: boolean;
  /** Longest pause between two rounds in which no upstream passes. */
  readonly maxBackoffMs: number;
  readonly sessionsOnDown: "cut" | "keep";
  /**
   * When sessions end on an upstream that still works when traffic moves away from it. `cut`: after
   * `graceMs`, and before the triggers begin if `triggers` is `before`. `drain`: `drainMs` after the
   * move. `keep`: never.
   */
  readonly sessionsOnMove: "cut" | "drain" | "keep";
  /** How long sessions may continue before they are cut. */
  readonly graceMs: number;
  /** How long sessions may continue after a move that drains them. */
  readonly drainMs: number;
  /** `before`: clients wait for the triggers; `beside`: triggers run while clients are served. */
  readonly triggers: "before" | "beside";
  /**
   * What happens after a trigger failed while no upstream was serving. `continue`: clients are let in
   * anyway. `retry`: it runs again until it succeeds. `next`: another upstream is tried.
   */
  readonly onTriggerFailure: "continue" | "retry" | "next";
  /** The rules of checks that know the roles of servers; undefined for other checks. */
  readonly roles?: RolePolicy;
  /** The prefix of every promotion id, so that the ids of two runs of the program differ. */
  readonly instance: string;
}

/** How far the triggers of a promotion have come. `at` is a time of the machine. */
export type TriggerProgress =
  /** They begin at `at`, when the sessions of the upstream that traffic leaves are cut. */
  | { readonly is: "due"; readonly at: number }
  | { readonly is: "running"; readonly attempt: number }
  /** They could not be started, or failed and will be repeated at `at`. */
  | {
    readonly is: "retrying";
    readonly at: number;
    readonly attempt: number;
    readonly reason: string;
  }
  | { readonly is: "ran" }
  | { readonly is: "failed"; readonly reason: string; readonly proof: Proof };

/** The upstream that served before a failback or switchover, and serves again if the move fails. */
export interface PreviousActive {
  readonly upstream: Upstream;
  /** The epoch it served under. */
  readonly epoch: number;
  readonly triggers: TriggerProgress;
}

/** The operator's order behind a promotion. */
export interface MoveOrder {
  /** The number of the order, for its answer. */
  readonly id: number;
  /** Whether there is no automatic failback from the upstream that the order names. */
  readonly pins: boolean;
}

/**
 * What is known of an active upstream whose triggers failed: nothing yet, or that its first check since
 * then failed, or that one passed.
 */
export type Proof = "none" | "failed" | "passed";

/** The phase, and what is true in it only. `until` and `doomedAt` are times of the machine. */
export type Phase =
  | {
    readonly name: "selecting";
    /** Counts the rounds since service was lost, from 1. */
    readonly round: number;
    /** Why service was lost. */
    readonly reason: string;
    readonly answers: ReadonlyMap<string, ProbeResult>;
    /** Upstreams that were down when the round began. */
    readonly suspects: ReadonlySet<string>;
    /** Upstreams whose triggers failed in this round; they are not chosen again in it. */
    readonly passedOver: ReadonlySet<string>;
  }
  | {
    readonly name: "waiting";
    readonly round: number;
    readonly reason: string;
    readonly until: number;
    readonly passedOver: ReadonlySet<string>;
  }
  | {
    readonly name: "promoting";
    readonly candidate: Upstream;
    readonly promotion: Promotion;
    readonly triggers: TriggerProgress;
    /**
     * Set when the candidate goes down during the promotion: its triggers may finish until this time and
     * are then ended.
     */
    readonly doomedAt: number | undefined;
    /** Where traffic returns if a failback or switchover fails; undefined in other promotions. */
    readonly back: PreviousActive | undefined;
    /** True if the sessions of `back` are cut before the triggers begin. */
    readonly cutsFirst: boolean;
    /** The order that it carries out; undefined if the machine decided it alone. */
    readonly order: MoveOrder | undefined;
    /** The round of selection that chose the candidate; 0 in a failback or switchover. */
    readonly round: number;
    readonly passedOver: ReadonlySet<string>;
  }
  | {
    readonly name: "serving";
    readonly active: Upstream;
    readonly epoch: number;
    readonly triggers: TriggerProgress;
    /** The failback that will begin unless a check prevents it; undefined if none is due. */
    readonly failbackPlan: FailbackPlan | undefined;
  };

/**
 * What happens to new clients. `outSince` is when service was lost, or the start of the program before
 * the first promotion: no promoted upstream has served a client since then.
 */
export type Admission =
  /** They are refused. */
  | { readonly is: "closed"; readonly outSince: number }
  /**
   * They wait. At `until` the hold that began with the loss of service is over: clients are refused, or
   * let through to a fail-open target. With `holdWhile: down` the machine may continue to hold, and then
   * `until` is Infinity, because the hold of each client begins when it arrives.
   */
  | { readonly is: "holding"; readonly outSince: number; readonly until: number }
  /** They go to `target`, the name of an upstream that does not pass its checks. */
  | { readonly is: "failOpen"; readonly outSince: number; readonly target: string }
  /** They go to the upstream that `activeOf` returns. */
  | { readonly is: "open" };

/**
 * Sessions that are being ended on one upstream. `soft`: it fell silent, and sessions that still move
 * bytes are spared. `move`: traffic moved away from it. Sessions of a later epoch than `throughEpoch` are
 * not affected.
 */
export interface PendingDrain {
  readonly why: "soft" | "move";
  readonly throughEpoch: number;
}

/** A failback that will begin at `at`; `dampingMs` of the wait are due to damping. */
export interface FailbackPlan {
  readonly to: string;
  readonly at: number;
  readonly dampingMs: number;
}

/** Consecutive failbacks to one upstream that failed because of its triggers. */
export interface FailedMoves {
  readonly to: string;
  readonly count: number;
  /** There is no automatic failback to it before this time. */
  readonly until: number;
}

/** The upstream that serves, or served last, in this run of the process. */
export interface LastServed {
  readonly to: string;
  /** The promotion that made it active; undefined if it continued after a restart. */
  readonly promotion: Promotion | undefined;
  readonly since: number;
}

/**
 * What a standby has become since the last choice: nothing else, or a primary (`promoted`) that somebody else has made;
 * or a `rival`, because the one chosen last was a primary after that as well.
 */
export type SeenRole = "standby" | "promoted" | "rival";

/**
 * All that the machine knows of one service. It is never changed, only replaced. Times are those of the
 * machine, in milliseconds.
 */
export interface State {
  readonly phase: Phase;
  /** In rank order. */
  readonly upstreams: readonly Upstream[];
  readonly health: ReadonlyMap<string, Health>;
  /** The number of the last decision about where clients go; 0 before the first. */
  readonly epoch: number;
  /**
   * Grows when a promotion begins and when it ends. A probe that was sent at an earlier stage is repeated,
   * since a promotion may have changed the result.
   */
  readonly stage: number;
  readonly admission: Admission;
  /** The upstream that clients were let through to last; undefined before the first. */
  readonly lastServed: LastServed | undefined;
  /**
   * The upstream of the last promotion that succeeded; undefined before the first. A promotion succeeded
   * if all its triggers ran and exited with 0, even if the candidate died afterwards and served no client:
   * a trigger may have made it the server that accepts writes. It also succeeded if a trigger failed,
   * clients were let in anyway, and a check passed while it served. It did not succeed if a trigger was
   * cancelled, never ran, or failed without a check that passed later.
   */
  readonly lastChosen: string | undefined;
  /**
   * Who served before this run of the process, until an upstream serves in this one; undefined if nothing
   * is remembered. `memory.ts` explains it.
   */
  readonly remembered: Remembered | undefined;
  /** What is known of the other proxies; undefined if this one is alone. */
  readonly cluster: ClusterView | undefined;
  /** The highest revision of a shared decision that this proxy has seen; 0 if it has seen none. */
  readonly fence: number;
  /** Times of the automatic failbacks that still count for damping. */
  readonly failbacks: readonly number[];
  readonly failedMoves: FailedMoves | undefined;
  /** The active upstream that this proxy alone sees down, once it has said so. */
  readonly contested: { readonly upstream: string; readonly epoch: number } | undefined;
  /** The upstream of a decision that is outdated for certain (`outdated.ts`), until the coordinator answers. */
  readonly outdated: string | undefined;
  /** Set while no automatic decision may be made, by order of the operator. */
  readonly paused: StandingOrder | undefined;
  /**
   * The operator's hold: new clients wait until `until`, whatever `admission` is. Meanwhile `admission` says
   * what would happen to them without the hold, and it is put into force when the hold ends.
   */
  readonly held: (StandingOrder & { readonly until: number }) | undefined;
  /** By upstream: those that are no candidates, by order of the operator. */
  readonly drained: ReadonlyMap<string, StandingOrder>;
  /** The active upstream, if the operator chose it by name: there is no automatic failback from it. */
  readonly pinned: string | undefined;
  /** The upstreams that have been standbys since `lastChosen` was chosen, where checks know that. */
  readonly standbys: ReadonlyMap<string, SeenRole>;
  /** By upstream that is up and may not be chosen: why, as far as that was published. */
  readonly barred: ReadonlyMap<string, Bar["kind"]>;
  /** By upstream: drains that may have to be cancelled, or to be made harder. */
  readonly drains: ReadonlyMap<string, PendingDrain>;
  /** The machine's time. It never goes back, even if the argument `now` does. */
  readonly now: number;
}

/** Every legal transition between phases and its reason. The simulation shows that each one occurs. */
export const MOVES = [
  { from: "selecting", to: "promoting", why: "a candidate passed its probe" },
  { from: "selecting", to: "waiting", why: "no upstream passed in a whole round" },
  { from: "waiting", to: "selecting", why: "the back-off is over or an upstream answered" },
  { from: "selecting", to: "serving", why: "the upstream that served before the restart passed" },
  { from: "promoting", to: "serving", why: "every trigger has ended, or a move back failed" },
  { from: "promoting", to: "selecting", why: "the candidate went down" },
  { from: "serving", to: "selecting", why: "the active upstream went down" },
  { from: "serving", to: "promoting", why: "traffic moves back, or where the operator wants it" },
] as const satisfies readonly { from: Phase["name"]; to: Phase["name"]; why: string }[];

/** How long, in milliseconds, the triggers of a candidate that went down may still run. */
export const DOOMED_TRIGGERS_MS = 30_000;

/**
 * Nothing is known but what `memory` says, and clients are refused. Nothing is decided before the input
 * `begun`.
 */
export function initialState(upstreams: readonly Upstream[], now: number, memory?: Memory): State {
  const known = memory === undefined ? undefined : listedOnly(memory, upstreams);
  return {
    phase: { name: "waiting", round: 0, reason: "start", until: Infinity, passedOver: new Set() },
    upstreams,
    health: new Map(upstreams.map((u) => [u.name, unknownHealth(now)])),
    epoch: known?.epoch ?? 0,
    stage: 0,
    admission: { is: "closed", outSince: now },
    lastServed: undefined,
    lastChosen: known?.lastChosen,
    remembered: known === undefined ? undefined : rememberedOf(known),
    cluster: undefined,
    fence: known?.fence ?? 0,
    failbacks: known?.failbacks ?? [],
    failedMoves: known?.failedMoves,
    contested: undefined,
    outdated: undefined,
    paused: known?.paused,
    held: undefined,
    drained: known?.drained ?? new Map(),
    pinned: known?.pinned,
    standbys: known?.standbys ?? new Map(),
    barred: new Map(),
    drains: new Map(),
    now,
  };
}

/** When the machine needs its next `ticked` input; undefined if time alone changes nothing. */
export function wakeAt(state: State): number | undefined {
  const { phase, admission, held } = state;
  const times = [
    held?.until,
    admission.is === "holding" ? admission.until : undefined,
    phase.name === "waiting" && mayDecide(state) ? phase.until : undefined,
    phase.name === "promoting" ? phase.doomedAt : undefined,
    phase.name === "serving" ? phase.failbackPlan?.at : undefined,
    "triggers" in phase && "at" in phase.triggers ? phase.triggers.at : undefined,
  ].filter((time) => time !== undefined && time !== Infinity);
  return times.length === 0 ? undefined : Math.min(...times as number[]);
}

/** The promoted upstream that gets new clients, and its epoch; undefined if there is none. */
export function activeOf(
  { phase, admission }: State,
): { readonly upstream: Upstream; readonly epoch: number } | undefined {
  if (phase.name === "serving") return { upstream: phase.active, epoch: phase.epoch };
  if (phase.name === "promoting" && admission.is === "open") return phase.back;
}

/** True while new clients are let through, to a promoted upstream or to a fail-open target. */
export function letsClientsThrough({ admission, held }: State): boolean {
  return held === undefined && (admission.is === "open" || admission.is === "failOpen");
}

/** True if the input `begun` has arrived. */
export function hasBegun({ phase }: State): boolean {
  return phase.name !== "waiting" || phase.round > 0;
}

/** True while the promotion `epoch` waits until the sessions of the old upstream are quiet. */
export function awaitsQuiet({ phase }: State, epoch: number): boolean {
  return phase.name === "promoting" && phase.triggers.is === "due" && phase.order !== undefined &&
    phase.promotion.epoch === epoch;
}

/** True while the triggers of the promotion `epoch` are to run. */
export function awaitsTriggers({ phase }: State, epoch: number): boolean {
  if (!("triggers" in phase) || phase.triggers.is !== "running") return false;
  return epoch === (phase.name === "promoting" ? phase.promotion.epoch : phase.epoch);
}
