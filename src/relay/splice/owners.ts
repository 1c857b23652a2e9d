/** What a session and the dialer need of those around them: loop, settings, and who decides for them. */
import type { Event } from "../../events/events.ts";
import type { Doubt } from "../../failover/ports.ts";
import type { Loop } from "../../linux/loop.ts";
import type { FlowDeps } from "./flow.ts";
import type { SpliceSession } from "./session.ts";

/** `free`: in the pool. `waiting`: no attempt under way. `connecting`: one is. `joined`: bytes may flow. */
export type SessionPhase = "free" | "waiting" | "connecting" | "joined";

/** What a session asks of those around it. */
export interface SpliceSessionOwner {
  readonly loop: Loop;
  readonly deps: FlowDeps;
  readonly idleTimeoutMs: number;
  /** The longest that a client waits for an upstream. */
  readonly waitMaxMs: number;
  /** Something changed before the join. */
  early(session: SpliceSession, fd: number, flags: number): void;
  /** A deadline before the join. */
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

/** What the dialer asks of those around it. */
export interface DialerOwner {
  readonly loop: Loop;
  readonly deps: FlowDeps;
  readonly connectTimeoutMs: number;
  readonly userTimeoutMs: number;
  /** No client may wait: one that would have to is closed. */
  readonly isWaitless: boolean;
  readonly publish: (event: Event) => void;
  doubt(doubt: Doubt): void;
  /** The PROXY header of this client, if one is sent. */
  headerFor(client: number): Uint8Array | undefined;
  /** A client that had to wait no longer does, which makes room for another one. */
  waitOver(): void;
  /** The system is short of descriptors, ports or memory; `reason` says of what. */
  short(reason: string): void;
}
