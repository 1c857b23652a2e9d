/**
 * What the failover machine knows, what it is told, and what it asks for. The theory stands here; the
 * moves themselves are in `machine.ts`.
 *
 * A service is always in one of four phases:
 *
 *     selecting ──► promoting ──► serving
 *      ▲  │  ▲          │           │
 *      │  ▼  └──────────┴───────────┘
 *     waiting
 *
 * - **selecting**: every upstream has been asked; the first in order that passes becomes the candidate.
 * - **waiting**: a whole round found nobody; the next round begins after the back-off, or as soon as
 *   any upstream passes its regular check.
 * - **promoting**: the candidate's triggers run. No client is let through yet.
 * - **serving**: new clients go to the active upstream.
 *
 * Apart from the phase there is the **door**, which is what new clients meet: `closed` (they are refused),
 * `holding` (they wait) or `open`. The door is open while serving; while there is a **last resort**
 * (nobody passes, but rather than turn everybody away, clients are let through to the best upstream that
 * has not refused us; it is not promoted and its triggers do not run); and while traffic is about to move
 * **back** to a better upstream whose triggers may run beside it, so that the old one serves until then.
 *
 * Every promotion has an epoch, which only grows. A failback or switchover that fails is no outage: the
 * upstream that served until then gets a new epoch and serves again.
 *
 * A probe that could not be asked for want of something on this machine has the evidence `none`. It is
 * no answer: it changes no verdict, and nobody is promoted over an upstream for the lack of its answer.
 *
 * The machine knows no time but `now`, an argument.
 */
import type { Event } from "../events/events.ts";
import type { FailbackPolicy } from "./failback.ts";
import { type Health, type Thresholds, unknownHealth } from "./health.ts";
import type { Doubt, DrainOrder, ProbeResult, Promotion, TriggerOutcome } from "./ports.ts";
import type { Upstream } from "./upstream.ts";

/** What the operator decided beforehand. Times in milliseconds. */
export interface Policy extends Thresholds {
  /** How long new clients may wait in one go; 0 closes the door at once. */
  readonly holdMs: number;
  /** `promoting`: the door closes when a whole round found nobody; `down`: only `holdMs` closes it. */
  readonly holdWhile: "promoting" | "down";
  /** When the hold is over and nobody passes, let clients through to a last resort. */
  readonly failOpen: boolean;
  readonly failback: FailbackPolicy;
  readonly damping: boolean;
  /** Longest pause between two rounds that find nobody. */
  readonly maxBackoffMs: number;
  readonly sessionsOnDown: "cut" | "keep";
  /**
   * Sessions of an upstream that still works when traffic moves away from it. `cut`: after the grace, and
   * before the triggers begin if these come before the clients; `drain`: `drainMs` after the move.
   */
  readonly sessionsOnMove: "cut" | "drain" | "keep";
  /** How long sessions that are to be cut may go on. */
  readonly graceMs: number;
  /** How long sessions may go on after a move that drains them. */
  readonly drainMs: number;
  /** `before`: clients wait for the triggers; `beside`: triggers run while clients are let in. */
  readonly triggers: "before" | "beside";
  /**
   * What follows a trigger that failed, when service was out: `continue` lets clients in all the same,
   * `retry` runs it again until it succeeds, `next` tries another upstream.
   */
  readonly onTriggerFailure: "continue" | "retry" | "next";
  /** Begins every promotion id, so that ids of two runs of the program differ. */
  readonly instance: string;
}

/** Where the triggers of a promotion are. */
export type TriggerProgress =
  /** The sessions of the upstream that traffic moves away from have so long before they are cut. */
  | { readonly is: "due"; readonly at: number }
  | { readonly is: "running"; readonly attempt: number }
  /** They could not be started, or failed and are to be repeated. */
  | {
    readonly is: "retrying";
    readonly at: number;
    readonly attempt: number;
    readonly reason: string;
  }
  | { readonly is: "ran" }
  | { readonly is: "failed"; readonly reason: string };

/** An upstream that served and may do so again if a move away from it fails. */
export interface Former {
  readonly upstream: Upstream;
  /** The epoch it served under. */
  readonly epoch: number;
  readonly triggers: TriggerProgress;
  readonly proof: Proof;
}

/**
 * What is known of an active upstream whose triggers failed: nothing yet, or that its first check since
 * failed, or that one passed. Irrelevant where the triggers ran.
 */
export type Proof = "none" | "failed" | "passed";

export type Phase =
  | {
    readonly name: "selecting";
    /** Counts the rounds since service was lost, from 1. */
    readonly round: number;
    /** Why service was lost. */
    readonly reason: string;
    readonly answers: ReadonlyMap<string, ProbeResult>;
    /** Those that were down when the round began. */
    readonly suspects: ReadonlySet<string>;
    /** Those whose triggers failed in this round; they have had their context. */
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
    /** The candidate went down meanwhile: its triggers may finish until then, and are ended after. */
    readonly doomedAt: number | undefined;
    /** Where traffic goes again if a failback or switchover fails; undefined otherwise. */
    readonly back: Former | undefined;
    /** Of the selection that chose the candidate; 0 in a failback or switchover. */
    readonly round: number;
    readonly passedOver: ReadonlySet<string>;
  }
  | {
    readonly name: "serving";
    readonly active: Upstream;
    readonly epoch: number;
    readonly triggers: TriggerProgress;
    readonly proof: Proof;
  };

/** `soft`: the upstream fell silent and sessions that move are spared; `move`: traffic moved away. */
export interface PendingDrain {
  readonly why: "soft" | "move";
  readonly throughEpoch: number;
}

export interface FailbackPlan {
  readonly to: string;
  readonly at: number;
  readonly dampingMs: number;
}

/** Failbacks to one upstream whose triggers failed, in a row. */
export interface FailedMoves {
  readonly to: string;
  readonly count: number;
  /** No automatic failback to it before then. */
  readonly until: number;
}

export interface State {
  readonly phase: Phase;
  /** In rank order. */
  readonly upstreams: readonly Upstream[];
  readonly health: ReadonlyMap<string, Health>;
  /** Number of the last decision about where clients go; 0 before the first. */
  readonly epoch: number;
  /**
   * Grows when a promotion begins and when it comes to an end. What a probe was asked at an earlier stage
   * is asked again, since a promotion may have changed the answer.
   */
  readonly stage: number;
  /** The upstream that served last, or serves now. */
  readonly lastActive: string | undefined;
  /** The last promotion that let clients in. */
  readonly lastPromotion: Promotion | undefined;
  /**
   * The upstream of the last promotion that succeeded. It did when all its triggers ran and exited with
   * 0, even if the candidate died then and nobody was let in: a trigger may have made it the one that
   * takes writes. It did also when a trigger failed, clients were let in all the same, and a check passed
   * while it served. It did not when a trigger was called off, never ran, or failed and no check passed:
   * no client has been let in on it, or it has shown that it is of no use to them.
   */
  readonly lastChosen: string | undefined;
  readonly door: "closed" | "holding" | "open";
  /**
   * When the hold that began with the loss of service is over; only while the door is holding. It closes
   * then, or opens for a last resort; with `holdWhile: down` it may go on holding, for each client has a
   * hold of its own.
   */
  readonly holdUntil: number | undefined;
  /** The upstream that gets clients although it does not pass; never while serving. */
  readonly lastResort: string | undefined;
  /** Since when no new client has been served; only while the door is not open. */
  readonly outSince: number | undefined;
  /** When the upstream that served last, or serves now, was given its first client. */
  readonly servedSince: number | undefined;
  readonly failbackPlan: FailbackPlan | undefined;
  /** Times of past automatic failbacks that still count for damping. */
  readonly failbacks: readonly number[];
  readonly failedMoves: FailedMoves | undefined;
  /** Upstreams with a drain that may have to be called off or made harder, and through which epoch. */
  readonly drains: ReadonlyMap<string, PendingDrain>;
  /** The machine's time; never goes back even if `now` does. */
  readonly now: number;
}

export type Input =
  | { readonly type: "begun" }
  | {
    readonly type: "probed";
    readonly upstream: string;
    readonly result: ProbeResult;
    /** `State.stage` when the question was put. */
    readonly stage: number;
  }
  | { readonly type: "doubted"; readonly doubt: Doubt }
  | {
    readonly type: "triggersEnded";
    readonly epoch: number;
    readonly outcome: TriggerOutcome;
  }
  /** The operator wants the best rank back now. */
  | { readonly type: "failbackOrdered" }
  | { readonly type: "ticked" };

/** What must be done, in this order; facts are told in their place among the deeds. */
export type Effect =
  | { readonly do: "publish"; readonly event: Event }
  | { readonly do: "probe"; readonly upstream: string }
  | { readonly do: "pace"; readonly upstream: string; readonly pace: "steady" | "doubt" }
  | { readonly do: "hold" }
  | { readonly do: "refuse" }
  | { readonly do: "open"; readonly upstream: Upstream; readonly epoch: number }
  | { readonly do: "confirm"; readonly upstream: string }
  | { readonly do: "drain"; readonly order: DrainOrder }
  | { readonly do: "spare"; readonly upstream: string }
  | { readonly do: "runTriggers"; readonly promotion: Promotion }
  | { readonly do: "cancelTriggers"; readonly epoch: number };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Every legal move between phases, and why it is made. The simulation proves that each one happens. */
export const MOVES = [
  { from: "selecting", to: "promoting", why: "a candidate passed its probe" },
  { from: "selecting", to: "waiting", why: "a whole round found nobody" },
  { from: "waiting", to: "selecting", why: "the back-off is over or an upstream answered" },
  { from: "promoting", to: "serving", why: "every trigger has ended, or a move back failed" },
  { from: "promoting", to: "selecting", why: "the candidate went down" },
  { from: "serving", to: "selecting", why: "the active upstream went down" },
  { from: "serving", to: "promoting", why: "traffic moves back, or where the operator wants it" },
] as const satisfies readonly { from: Phase["name"]; to: Phase["name"]; why: string }[];

/** How long the triggers of a candidate that went down may still run. */
export const DOOMED_TRIGGERS_MS = 30_000;

/** Nothing known, door closed. Nothing is decided before the input `begun`. */
export function initialState(upstreams: readonly Upstream[], now: number): State {
  return {
    phase: { name: "waiting", round: 0, reason: "start", until: Infinity, passedOver: new Set() },
    upstreams,
    health: new Map(upstreams.map((u) => [u.name, unknownHealth(now)])),
    epoch: 0,
    stage: 0,
    lastActive: undefined,
    lastPromotion: undefined,
    lastChosen: undefined,
    door: "closed",
    holdUntil: undefined,
    lastResort: undefined,
    outSince: now,
    servedSince: undefined,
    failbackPlan: undefined,
    failbacks: [],
    failedMoves: undefined,
    drains: new Map(),
    now,
  };
}

/** When the machine wants its next tick, if time alone can change anything. */
export function wakeAt(state: State): number | undefined {
  const { phase } = state;
  const times = [
    state.holdUntil,
    phase.name === "waiting" ? phase.until : undefined,
    phase.name === "promoting" ? phase.doomedAt : undefined,
    phase.name === "serving" ? state.failbackPlan?.at : undefined,
    "triggers" in phase && "at" in phase.triggers ? phase.triggers.at : undefined,
  ].filter((time) => time !== undefined && time !== Infinity);
  return times.length === 0 ? undefined : Math.min(...times as number[]);
}

/** The upstream that gets new clients because it was promoted, and under which epoch. */
export function activeOf(
  { phase, door }: State,
): { readonly upstream: Upstream; readonly epoch: number } | undefined {
  if (phase.name === "serving") return { upstream: phase.active, epoch: phase.epoch };
  if (phase.name === "promoting" && door === "open") return phase.back;
}

/**
 * The upstream that a check program is to trust when it is asked about `upstream`. That is
 * `State.lastChosen`, with two exceptions. The active upstream is asked about as the chosen one that it
 * is, and so is the one that traffic may still return to. And while the outcome of a promotion is open,
 * everybody else is asked as if it had succeeded, for it may have.
 */
export function trustedFor(state: State, upstream: string): string | undefined {
  const { phase, lastChosen } = state;
  if (phase.name === "promoting") {
    return phase.back?.upstream.name === upstream ? upstream : phase.candidate.name;
  }
  if (phase.name !== "serving") return lastChosen;
  const { active, triggers, proof } = phase;
  const isOpen = triggers.is === "failed" ? proof === "none" : triggers.is !== "ran";
  return active.name === upstream || isOpen ? active.name : lastChosen;
}
