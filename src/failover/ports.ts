/**
 * The interfaces that the controller needs. Other rooms implement them, and `app/control_plane.ts` connects
 * them. Each comment is the contract. All times are in milliseconds.
 */
import type { MoveKind } from "../events/events.ts";
import type { Decision } from "./cluster.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "./orders.ts";
import type { ServerReport } from "./server_report.ts";
import type { Upstream } from "./upstream.ts";

/** The result of one check of one upstream. */
export interface ProbeResult {
  readonly passed: boolean;
  readonly tookMs: number;
  /** For a person, for example `connected`, `connection refused`, `check exited with 1`. */
  readonly reason: string;
  /**
   * How much a failure proves. `refused`: the host itself refused the connection. `denied`: it accepts
   * connections, but the check program or the HTTP status failed. `silent`: there was no answer in time.
   * `no_verdict`: the check could not be done because of trouble on this machine (no descriptor,
   * no local port, the check program cannot be started, the name service does not answer), so nothing
   * was learned about the upstream and no verdict changes. `passed` is then false.
   */
  readonly evidence: "passed" | "refused" | "denied" | "silent" | "no_verdict";
  /** Set if `Checks.now` was called while this check was under way. */
  readonly overtaken?: true;
  /** What the server said of itself, where the check knows its protocol and it is alive. */
  readonly server?: ServerReport;
  /** True if this failure alone brings the upstream down: it is not one that may pass. */
  readonly isDecisive?: true;
}

/** What a check program learns about the present state. */
export interface ProbeContext {
  /** The result of `trustedFor` in `trust.ts`; undefined before the first promotion. */
  readonly lastChosen: string | undefined;
  readonly phase: "selecting" | "waiting" | "promoting" | "serving";
  readonly epoch: number;
  /** True if a live connection to the upstream has failed, and no check has passed since. */
  readonly isDoubted?: boolean;
}

/** Checks one upstream. Never rejects, and resolves within the deadline it was made with. */
export type Probe = (
  upstream: Upstream,
  context: ProbeContext,
  signal: AbortSignal,
) => Promise<ProbeResult>;

/**
 * Checks upstreams on a schedule and decides nothing. Results are posted to the controller one by one, in
 * order, each with the stage (`State.stage`) at which its check began.
 */
export interface Checks {
  /** Checks this upstream as soon as possible: at once, or right after the check under way. */
  now(upstream: string): void;
  /** Sets the interval: the configured one, or the short one while a verdict is in doubt. */
  pace(upstream: string, pace: "steady" | "doubt"): void;
}

/** A decision to make an upstream active. The triggers receive it in their environment. */
export interface Promotion {
  readonly move: MoveKind;
  /** Unique over restarts of the program; the same for all triggers of one promotion. */
  readonly id: string;
  readonly epoch: number;
  readonly from: string | undefined;
  readonly to: string;
  readonly reason: string;
  /**
   * A number that only grows, over restarts and over all proxies that share the decision; set if there are
   * several. A resource that refuses a lower number than it has seen is safe from a proxy that was stopped.
   */
  readonly fence?: number;
}

/** What became of the triggers of one promotion. */
export type TriggerOutcome =
  /** All triggers exited with 0, or there are none. */
  | { readonly how: "ran" }
  /**
   * One cannot start, exited with another code or took too long. `reason` is for a person. `promotion` is set if
   * this program was to make a server the primary: the server `refused` and has certainly not begun, or it is
   * `unclear` whether it has, or still may.
   */
  | {
    readonly how: "failed";
    readonly reason: string;
    readonly promotion?: "refused" | "unclear";
  }
  /**
   * One could not be started because a resource of this machine is exhausted. It and those after it have
   * not run; `hasBegun` is true if an earlier one has.
   */
  | { readonly how: "short"; readonly reason: string; readonly hasBegun: boolean }
  /** The signal was aborted before all had ended. */
  | { readonly how: "cancelled" }
  /**
   * One was ended, or not begun, because the lease of this proxy may have ended, as `reason` says. It is unknown how far
   * it came, and those after it have not run.
   */
  | { readonly how: "calledOff"; readonly reason: string }
  /** None has begun: the decision could not be stored, because this proxy does not lead, for instance. */
  | { readonly how: "denied"; readonly reason: string };

/** The operator's programs that run between the choice of an upstream and its first client. */
export interface Triggers {
  /**
   * Runs all of them, one after another, and resolves when the last one has ended or one could not be
   * started. An abort ends the running one and skips the rest. Two calls never overlap: the second one
   * waits. A further call for the same promotion skips those that exited with 0, and those whose failure
   * counts as a warning only.
   */
  run(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome>;
}

/** Whether a promotion may begin: with the number that scripts get, or not, and why. */
export type Grant =
  | { readonly fence: number | undefined }
  | { readonly denied: string };

/**
 * Shares one decision with other proxies. What it learns of them it posts as the input `coordinated`, and the
 * first time before `begun`. No call rejects.
 */
export interface Coordinator {
  /**
   * Stores the decision, and waits for a short time until the other proxies hold their clients. A second call
   * for the same promotion only asks whether this proxy still leads.
   */
  decide(promotion: Promotion): Promise<Grant>;
  /** Stores that it is done. Resolves with the reason if that cannot be, because another proxy leads. */
  conclude(decision: Omit<Decision, "phase" | "by">): Promise<string | undefined>;
  /** The clients of this proxy are held for the promotion `epoch` of another one. */
  acknowledge(epoch: number): void;
  /**
   * Passes an order on to the proxy that leads, or carries it out for all if that is this one. Returns false if the
   * order is for this proxy alone, which then carries it out without the coordinator.
   */
  passOn(
    order: OperatorOrder,
    source: OrderSource,
    onOutcome: (outcome: OrderOutcome) => void,
  ): boolean;
}

/**
 * Where new clients or exchanges go: an upstream and the epoch of the decision. Each decision makes a new
 * object, so two routes are equal only if they are the same object.
 */
export interface Route {
  readonly upstream: Upstream;
  readonly epoch: number;
}

/** Which sessions an order is about. */
export interface DrainScope {
  readonly upstream: string;
  /** Only sessions of this epoch or an older one. */
  readonly throughEpoch: number;
}

/** Which sessions of an upstream are ended, and when: it went down, or traffic moved away from it. */
export interface DrainOrder extends DrainScope {
  /** How long the sessions may continue. */
  readonly graceMs: number;
  /**
   * Set if the upstream is only silent. Of the sessions that remain after the grace, those that moved a
   * byte within the last `sparedIfMovedMs` stay, and are examined again after the same time.
   */
  readonly sparedIfMovedMs: number | undefined;
  /** Whether `spare` may cancel it. False if the upstream is known to have lost its sessions. */
  readonly revocable: boolean;
  readonly reason: string;
}

/**
 * A session in which no byte moved for so many milliseconds counts as quiet: longer than the pauses within a
 * transaction whose client is near.
 */
export const QUIET_MS = 200;

/**
 * Relays the bytes. It starts with the port closed. New clients are those whose bytes do not flow yet;
 * each order applies to them and to all later clients. An order resolves when it is in force. It never
 * rejects because of the network; the data plane publishes such trouble as events.
 */
export interface DataPlane {
  /** Opens the port if it is closed, and sends every new client to `upstream`. */
  open(upstream: Upstream, epoch: number): Promise<void>;
  /** Keeps the port open and lets new clients wait. Connection attempts under way are aborted. */
  hold(): Promise<void>;
  /** Closes the port and refuses the clients that wait. */
  refuse(): Promise<void>;
  /**
   * The active upstream has passed a check after a doubt. Clients that caused the doubt are served now: a
   * refused connection is tried again, and an early close is passed on.
   */
  confirm(upstream: string): Promise<void>;
  /**
   * Ends old sessions as ordered. It resolves at once and the sessions end after the grace; without a
   * grace they have been cut when it resolves. There is one drain for each upstream: a new order replaces
   * the one under way, whose sessions end at once if it was not revocable.
   */
  drain(order: DrainOrder): Promise<void>;
  /** Cancels the drain of an upstream if a revocable one is under way. */
  spare(upstream: string): Promise<void>;
  /**
   * The number of sessions of `upstream`, of epoch `throughEpoch` or older, that are not quiet: a byte moved
   * in them within the last `QUIET_MS`. In HTTP, the exchanges that it is working on.
   */
  busy(upstream: string, throughEpoch: number): Promise<number>;
}

/** A failure on a live connection to the active upstream, which starts a check at once. */
export interface Doubt {
  readonly upstream: string;
  readonly epoch: number;
  /** True if the connection was refused, or closed before the first byte; false if it is only slow. */
  readonly hard: boolean;
  readonly reason: string;
}
