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
 * `holding` (they wait, until `holdUntil` at most) or `open`. The door is open exactly while serving, or
 * while there is a **last resort**: nobody passes, but rather than turn everybody away, clients are let
 * through to the best upstream that has not refused us. It is not promoted and its triggers do not run.
 *
 * Every promotion has an epoch, which only grows. The machine knows no time but `now`, an argument.
 */
import type { Event } from "../events/events.ts";
import type { FailbackPolicy } from "./failback.ts";
import { type Health, type Thresholds, unknownHealth } from "./health.ts";
import type { Doubt, DrainOrder, ProbeResult, Promotion } from "./ports.ts";
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
  /** How long sessions of an upstream that went down may go on. */
  readonly graceMs: number;
  /** `before`: clients wait for the triggers; `beside`: triggers run while clients are let in. */
  readonly triggers: "before" | "beside";
  /** Begins every promotion id, so that ids of two runs of the program differ. */
  readonly instance: string;
}

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
  }
  | {
    readonly name: "waiting";
    readonly round: number;
    readonly reason: string;
    readonly until: number;
  }
  | {
    readonly name: "promoting";
    readonly candidate: Upstream;
    readonly promotion: Promotion;
    /** The candidate went down meanwhile: its triggers may finish until then, and are ended after. */
    readonly doomedAt: number | undefined;
  }
  | { readonly name: "serving"; readonly active: Upstream; readonly epoch: number };

export interface FailbackPlan {
  readonly to: string;
  readonly at: number;
  readonly dampingMs: number;
}

export interface State {
  readonly phase: Phase;
  /** In rank order. */
  readonly upstreams: readonly Upstream[];
  readonly health: ReadonlyMap<string, Health>;
  /** Epoch of the last promotion begun; 0 before the first. */
  readonly epoch: number;
  /** The upstream that served last, or serves now. */
  readonly lastActive: string | undefined;
  /** The upstream of the last promotion begun, finished or not: what check programs should trust. */
  readonly lastChosen: string | undefined;
  readonly door: "closed" | "holding" | "open";
  /** When the door closes although nobody was found; only while it is holding. */
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
  /** The machine's time; never goes back even if `now` does. */
  readonly now: number;
}

export type Input =
  | { readonly type: "begun" }
  | { readonly type: "probed"; readonly upstream: string; readonly result: ProbeResult }
  | { readonly type: "doubted"; readonly doubt: Doubt }
  | { readonly type: "triggersEnded"; readonly epoch: number }
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
  { from: "promoting", to: "serving", why: "every trigger has ended" },
  { from: "promoting", to: "selecting", why: "the candidate went down" },
  { from: "serving", to: "selecting", why: "the active upstream went down" },
  { from: "serving", to: "promoting", why: "traffic moves back, or where the operator wants it" },
] as const satisfies readonly { from: Phase["name"]; to: Phase["name"]; why: string }[];

/** How long the triggers of a candidate that went down may still run. */
export const DOOMED_TRIGGERS_MS = 30_000;

/** Nothing known, door closed. The first input must be `begun`. */
export function initialState(upstreams: readonly Upstream[], now: number): State {
  return {
    phase: { name: "waiting", round: 0, reason: "start", until: now },
    upstreams,
    health: new Map(upstreams.map((u) => [u.name, unknownHealth(now)])),
    epoch: 0,
    lastActive: undefined,
    lastChosen: undefined,
    door: "closed",
    holdUntil: undefined,
    lastResort: undefined,
    outSince: now,
    servedSince: undefined,
    failbackPlan: undefined,
    failbacks: [],
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
  ].filter((time) => time !== undefined);
  return times.length === 0 ? undefined : Math.min(...times);
}
