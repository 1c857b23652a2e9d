/** The interfaces through which a session and the dialer reach their owner: the loop, settings, and decisions. */
import type { Event } from "../../events/events.ts";
import type { Doubt } from "../../failover/ports.ts";
import type { Loop } from "../../linux/loop.ts";
import type { FlowDeps } from "./flow.ts";
import type { SpliceSession } from "./session.ts";

/**
 * `free`: in the pool. `waiting`: no attempt under way. `connecting`: one is. `joined`: bytes may flow. `passing`: it
 * stands still, until it is known whether another process goes on with it.
 */
export type SessionPhase = "free" | "waiting" | "connecting" | "joined" | "passing";

/** The owner of a session. */
export interface SpliceSessionOwner {
  readonly loop: Loop;
  readonly deps: FlowDeps;
  /** This and the next may change while sessions run. */
  idleTimeoutMs: number;
  /** The longest that a client waits for an upstream, in milliseconds. */
  waitMaxMs: number;
  /** There was an event on a socket before the join. */
  early(session: SpliceSession, fd: number, flags: number): void;
  /** A deadline expired before the join. */
  expired(session: SpliceSession, now: number): void;
  /** The upstream ended or was reset before any byte; the client is still there. */
  endedUnused(session: SpliceSession, how: "end" | "reset"): void;
  /** The upstream was reset after it got bytes and before it sent any. The session ends. */
  resetUnanswered(session: SpliceSession): void;
  /** A session had a bug and has ended. */
  onBug(error: unknown): void;
  /** Both sockets are closed: the record may be used again. */
  release(session: SpliceSession): void;
}

/** The owner of the dialer. */
export interface DialerOwner {
  readonly loop: Loop;
  readonly deps: FlowDeps;
  /** This and the next two may change; attempts that are under way keep their time. */
  connectTimeoutMs: number;
  userTimeoutMs: number;
  /** No client may wait: one that would have to is closed. */
  isWaitless: boolean;
  readonly publish: (event: Event) => void;
  doubt(doubt: Doubt): void;
  /** The PROXY header of this client, if one is sent. */
  headerFor(session: SpliceSession): Uint8Array | undefined;
  /** A client no longer waits, so another one may be accepted. */
  waitOver(): void;
  /** The system is short of descriptors, ports or memory; `reason` says of what. */
  short(reason: string): void;
}
