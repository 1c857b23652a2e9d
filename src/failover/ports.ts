/**
 * What the controller needs from the world. The rooms around implement these; `app/app.ts` joins them.
 * Each comment is the contract.
 */
import type { MoveKind } from "../events/events.ts";
import type { Upstream } from "./upstream.ts";

/** The answer to one question put to one upstream. */
export interface ProbeResult {
  readonly passed: boolean;
  readonly tookMs: number;
  /** For a person: `connected`, `connection refused`, `check exited with 1`. */
  readonly reason: string;
  /**
   * How much a failure proves. `refused`: the host itself turned the connection away. `denied`: it
   * accepts connections, but the check program said no. `silent`: nobody said anything in time.
   * `none`: no verdict. The question could not be asked because of trouble on this machine (no
   * descriptor, no local port, the check program cannot be started, the name service is silent), so
   * nothing was learned about the upstream and no verdict changes. `passed` is then false.
   */
  readonly evidence: "passed" | "refused" | "denied" | "silent" | "none";
  /** Set when `Checks.now` asked anew while this question was under way already. */
  readonly overtaken?: true;
}

/** What a probe may tell the operator's check program about the present state. */
export interface ProbeContext {
  /** The upstream to trust, as `trustedFor` in `state.ts` says; undefined before the first promotion. */
  readonly lastChosen: string | undefined;
  readonly phase: "selecting" | "waiting" | "promoting" | "serving";
  readonly epoch: number;
}

/** One question to one upstream. Resolves always, also for the worst failure, and within its deadline. */
export type Probe = (
  upstream: Upstream,
  context: ProbeContext,
  signal: AbortSignal,
) => Promise<ProbeResult>;

/**
 * Probes on a schedule; decides nothing. Results are posted to the controller one by one, in order, each
 * with the stage (`State.stage`) at which its question was put.
 */
export interface Checks {
  /** Asks this upstream as soon as possible: at once, or right after the question now under way. */
  now(upstream: string): void;
  /** How often to ask: the operator's interval, or the short one while a verdict is in doubt. */
  pace(upstream: string, pace: "steady" | "doubt"): void;
}

/** A decision to make an upstream active, as its triggers are told of it. */
export interface Promotion {
  readonly move: MoveKind;
  /** Unique over restarts; the same for all triggers of one promotion. */
  readonly id: string;
  readonly epoch: number;
  readonly from: string | undefined;
  readonly to: string;
  readonly reason: string;
}

/** What became of the triggers of one promotion. */
export type TriggerOutcome =
  /** All ran and exited with 0, or there are none. */
  | { readonly how: "ran" }
  /** One can never start, exited with another code or took too long. For a person, why. */
  | { readonly how: "failed"; readonly reason: string }
  /**
   * One could not be started because this machine is short of something: it and those after it have
   * not run. `hasBegun` is true if an earlier one has.
   */
  | { readonly how: "short"; readonly reason: string; readonly hasBegun: boolean }
  /** The signal was aborted before all had ended. */
  | { readonly how: "calledOff" };

/** The operator's programs that run between the choice of an upstream and the first client. */
export interface Triggers {
  /**
   * Runs all of them, one after another, and resolves when the last has ended, or one could not be
   * started. Aborting ends the running one and skips the rest. Two calls never overlap: the second
   * waits. Called again with the same promotion it leaves out those that have exited with 0, and those
   * whose failure was but a warning.
   */
  run(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome>;
}

/**
 * Where new clients or exchanges go: an upstream, under the decision with this number. Each decision makes
 * a new object, so two routes are the same only if they are the same object.
 */
export interface Route {
  readonly upstream: Upstream;
  readonly epoch: number;
}

/** Which sessions end when an upstream went down or traffic moved away from it, and when. */
export interface DrainOrder {
  readonly upstream: string;
  /** Only sessions joined under this epoch or an older one. */
  readonly throughEpoch: number;
  /** Sessions may finish for so long. */
  readonly graceMs: number;
  /**
   * When set, evidence is soft: of the sessions left after the grace, those that moved a byte within the
   * last `sparedIfMovedMs` milliseconds stay and are looked at again as often.
   */
  readonly sparedIfMovedMs: number | undefined;
  /** Whether `spare` may call it off: not where the upstream is known to have lost its sessions. */
  readonly revocable: boolean;
  readonly reason: string;
}

/**
 * Moves the bytes. It starts with the port closed. New clients are those whose bytes have not begun to
 * flow; every order applies to them as well as to clients yet to come. Orders resolve when they are in
 * force and never reject for trouble with the network, which the data plane reports as events.
 */
export interface DataPlane {
  /** Opens the port if it was closed and gives every new client to `upstream`. */
  open(upstream: Upstream, epoch: number): Promise<void>;
  /** Keeps the port open and new clients waiting. Attempts to connect that are under way are called off. */
  hold(): Promise<void>;
  /** Closes the port and turns away the clients that wait. */
  refuse(): Promise<void>;
  /**
   * The active upstream answers after all: clients that were reported as doubts get what they got from
   * it (retry of a refused connect, or its early close passed on).
   */
  confirm(upstream: string): Promise<void>;
  /**
   * Ends old sessions, as ordered. Resolves at once; the ending takes its grace. Without a grace the
   * sessions have been cut when it resolves. There is one drain for each upstream: a new order takes the
   * place of the one under way, whose sessions end at once if it was not revocable.
   */
  drain(order: DrainOrder): Promise<void>;
  /** Calls off the drain of an upstream, if one is under way that is revocable. */
  spare(upstream: string): Promise<void>;
}

/** What a data plane noticed about the active upstream on a live connection; starts a probe at once. */
export interface Doubt {
  readonly upstream: string;
  readonly epoch: number;
  /** True when the connection was refused or closed before any byte, false when it is merely slow. */
  readonly hard: boolean;
  readonly reason: string;
}
