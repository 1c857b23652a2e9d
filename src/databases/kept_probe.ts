/**
 * A probe that keeps its connection: it opens one when it needs one, asks one question at a time, and asks again on a
 * new connection if the kept one has ended, since servers end idle connections for reasons of their own. A log-in
 * that was refused is repeated after a growing pause only, because servers log each.
 */
import { backoffMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { Fault, type FaultName } from "../base/fault.ts";
import type { ServerReport } from "../failover/server_report.ts";
import {
  NotAlive,
  PromotionRefused,
  type Question,
  type ServerProbe,
} from "../health/server_probe.ts";
import { cancelled, untilAborted } from "./cancel.ts";
import { LoginRefused, NotReady } from "./server.ts";
import { type Silent, SilentWatch } from "./silent_watch.ts";

/** The longest pause between two log-ins while they are refused, in milliseconds. */
export const LOGIN_PAUSE_MAX_MS = 60_000;
/** The pause between two looks at a server that is being promoted, in milliseconds. */
const PROMOTION_LOOK_MS = 50;

/** `onEnd` is not called again before so many milliseconds have passed. */
const END_PAUSE_MS = 1_000;

/** A connection on which questions can be asked. */
export interface ServerSession {
  /** Called once, when the connection has ended although no question was under way. Must not throw. */
  onEnd: (reason: string) => void;
  readonly isOver: boolean;
  /** Asks. Rejects with a `Fault` when the connection has ended. */
  ask(): Promise<ServerReport>;
  /**
   * Orders the server to become the primary, which it may still have to do when this resolves. Rejects with
   * `PromotionRefused` if it refuses.
   */
  promote?(): Promise<void>;
  /** Ends the connection at once; a pending question rejects with `fault`. */
  abort(fault: Fault): void;
  /** Ends it in order. */
  close(): Promise<void>;
}

/** What differs between the kinds of servers. */
export interface Protocol {
  /** Whether its sessions have `promote`. */
  readonly canPromote: boolean;
  /** True if there is anything to log in with. */
  readonly hasAccount: () => boolean;
  /**
   * Connects and logs in. Rejects with `LoginRefused`, with `NotReady`, or with a `Fault`; with a `Fault` also when the
   * signal is aborted.
   */
  logIn(signal: AbortSignal): Promise<ServerSession>;
  /** Finds out without an account whether the server is alive, and as far as possible leaves no trace in its log. Rejects as `logIn`. */
  knock(signal: AbortSignal): Promise<ServerReport>;
  /**
   * Opens a connection on which nothing is said; missing where the server would log or count it. Rejects with a `Fault`.
   */
  readonly connectSilently?: (signal: AbortSignal) => Promise<Silent>;
  /** Words for a report without an account. */
  readonly withoutAccount: string;
}

/** See `health/server_probe.ts:ServerProbe` for the contract. */
export class KeptProbe implements ServerProbe {
  onEnd: (reason: string) => void = () => {};
  readonly promote?: (signal: AbortSignal) => Promise<void>;
  readonly #protocol: Protocol;
  readonly #clock: Clock;
  /** Sees the end of the server while nobody is logged in. */
  readonly #watch: SilentWatch | undefined;
  #session: ServerSession | undefined;
  /** Resolves when the work under way has ended. */
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  /** Log-ins that were refused in a row, why, and when the next one may be tried. */
  #refusals = 0;
  #refusal = "";
  #nextLogin = -Infinity;
  /** When `onEnd` was called last. */
  #endedAt = -Infinity;

  constructor(protocol: Protocol, clock: Clock) {
    this.#protocol = protocol;
    this.#clock = clock;
    const { connectSilently } = protocol;
    this.#watch = connectSilently &&
      new SilentWatch(connectSilently, clock, (reason) => this.#tellEnd(reason));
    if (protocol.canPromote) this.promote = (signal) => this.#promote(signal);
  }

  async ask({ signal, isDoubted }: Question): Promise<ServerReport> {
    try {
      return await this.#inTurn(signal, () => this.#ask(signal, isDoubted));
    } catch (error) {
      throw error instanceof Fault ? notAlive(error) : error;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const session = this.#session;
    this.#session = undefined;
    this.#watch?.close();
    await session?.close();
  }

  async #promote(signal: AbortSignal): Promise<void> {
    try {
      const report = await this.ask({ signal, isDoubted: false });
      if (report.role === "primary") return;
      if (report.role === "unknown") throw new PromotionRefused(report.reason ?? report.phase);
    } catch (error) {
      throw error instanceof PromotionRefused ? error : new PromotionRefused(wordsOf(error));
    }
    await this.#inTurn(signal, async () => {
      const session = this.#session;
      if (session === undefined || session.isOver) {
        throw new PromotionRefused("the connection to it has ended");
      }
      await guarded(session, signal, () => session.promote!());
    });
    for (;;) {
      const { role, reason, phase } = await this.ask({ signal, isDoubted: false });
      if (role === "primary") return;
      if (role === "unknown" && phase === "running") {
        throw new Error(`its role is unknown after the promotion: ${reason ?? "no reason given"}`);
      }
      await this.#pause(signal);
    }
  }

  /** Runs `work` when all earlier work has ended; rejects at once if the signal is aborted before. */
  async #inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    try {
      await untilAborted(signal, before);
      if (this.#isClosed) throw cancelled();
      return await work();
    } finally {
      before.then(() => resolve());
    }
  }

  async #ask(signal: AbortSignal, isDoubted: boolean): Promise<ServerReport> {
    const kept = this.#session?.isOver === false ? this.#session : undefined;
    if (kept !== undefined && !isDoubted) {
      try {
        return await guarded(kept, signal, () => kept.ask());
      } catch (error) {
        // It may just have been ended, as by a restart or by an administrator: a new connection tells.
        if (!(error instanceof Fault) || !kept.isOver || signal.aborted) throw error;
        try {
          return await this.#askAnew(signal);
        } catch (failure) {
          // Its end was no accident, and is told as if it had come a moment earlier or later.
          if (failure instanceof Fault && !signal.aborted) this.#ended(kept, error.message);
          throw failure;
        }
      }
    }
    const report = await this.#askAnew(signal);
    if (kept === undefined) return report;
    // The new connection shows that the server is alive. If it does not let us in again, as when all of its
    // connections are taken, the kept one still knows the role.
    if (this.#session !== kept) await kept.close();
    else if (report.phase === "running") return await guarded(kept, signal, () => kept.ask());
    return report;
  }

  /** Asks on a new connection, which is kept from now on if the server lets us in. */
  async #askAnew(signal: AbortSignal): Promise<ServerReport> {
    if (!this.#protocol.hasAccount()) {
      const report = await this.#protocol.knock(signal);
      await this.#watch?.keep(signal);
      return unknownRole(report, this.#protocol.withoutAccount);
    }
    try {
      if (this.#clock.now() < this.#nextLogin) {
        return unknownRole(await this.#protocol.knock(signal), this.#refusal);
      }
      const session = await this.#logIn(signal);
      return await guarded(session, signal, () => session.ask());
    } catch (error) {
      if (error instanceof NotReady) {
        return { role: "unknown", phase: error.phase, reason: error.message };
      }
      if (!(error instanceof LoginRefused)) throw error;
      this.#nextLogin = this.#clock.now() + backoffMs(++this.#refusals, LOGIN_PAUSE_MAX_MS);
      this.#refusal = error.message;
      return { role: "unknown", phase: "running", reason: error.message };
    }
  }

  async #logIn(signal: AbortSignal): Promise<ServerSession> {
    const session = await this.#protocol.logIn(signal);
    if (this.#isClosed) {
      session.abort(cancelled());
      throw cancelled();
    }
    this.#refusals = 0;
    this.#session = session;
    session.onEnd = (reason) => this.#ended(session, reason);
    return session;
  }

  /** A kept connection has ended. A server that ends each at once is not asked without a pause because of that. */
  #ended(session: ServerSession, reason: string): void {
    if (this.#session !== session || this.#isClosed) return;
    this.#session = undefined;
    this.#tellEnd(reason);
  }

  #tellEnd(reason: string): void {
    const now = this.#clock.now();
    if (now < this.#endedAt + END_PAUSE_MS) return;
    this.#endedAt = now;
    this.onEnd(reason);
  }

  async #pause(signal: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancelTimer = this.#clock.after(PROMOTION_LOOK_MS, over.resolve);
    try {
      await untilAborted(signal, over.promise);
    } finally {
      cancelTimer();
    }
  }
}

/** Faults of a connection that was accepted. Those of the attempt to connect are passed on as they are. */
const AFTER_CONNECT: ReadonlySet<FaultName> = new Set<FaultName>([
  "upstreamReset",
  "responseCut",
  "badResponse",
  "tlsFailed",
]);

function notAlive(fault: Fault): Error {
  if (!AFTER_CONNECT.has(fault.fault)) return fault;
  // It accepts connections, and must not be used.
  return new NotAlive("denied", fault.message, { cause: fault });
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function unknownRole(report: ServerReport, reason: string): ServerReport {
  return report.role === "unknown" && report.phase === "running" ? { ...report, reason } : report;
}

/** Runs a question on a session; an abort ends the session, as its answer may come any time later. */
async function guarded<T>(
  session: Pick<ServerSession, "abort">,
  signal: AbortSignal,
  question: () => Promise<T>,
): Promise<T> {
  // Nothing was asked yet, so the session is as good as before.
  if (signal.aborted) throw cancelled();
  const end = () => session.abort(cancelled());
  signal.addEventListener("abort", end, { once: true });
  try {
    return await question();
  } finally {
    signal.removeEventListener("abort", end);
  }
}
