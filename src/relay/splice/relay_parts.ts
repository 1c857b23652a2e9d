/** Small parts of a worker's relay: its counted limit, which sessions an order concerns, and its times. */
import type { Semaphore } from "../../base/semaphore.ts";
import type { DrainScope } from "../../failover/ports.ts";
import type { SharedCounters } from "../../threads/memory.ts";
import { type RelaySettings, userTimeoutOf } from "../engine.ts";
import { COUNT } from "./counters.ts";
import type { DialerOwner, SpliceSessionOwner } from "./owners.ts";
import type { SpliceSession } from "./session.ts";

/** The times that a dialer and sessions have, by the settings of their relay. */
export function timesOf(settings: RelaySettings): {
  readonly dialing: Pick<DialerOwner, "connectTimeoutMs" | "userTimeoutMs" | "isWaitless">;
  readonly sessions: Pick<SpliceSessionOwner, "idleTimeoutMs" | "waitMaxMs">;
} {
  const { connectTimeoutMs, idleTimeoutMs, holdMs, heldMax } = settings;
  return {
    dialing: {
      connectTimeoutMs,
      userTimeoutMs: userTimeoutOf(settings),
      isWaitless: heldMax === 0,
    },
    sessions: { idleTimeoutMs, waitMaxMs: Math.max(holdMs, connectTimeoutMs) },
  };
}

/** A semaphore whose permits are counted as they are acquired and released. */
export function counted(
  semaphore: Semaphore,
  counters: SharedCounters,
): Pick<Semaphore, "acquireAnyway" | "release"> {
  return {
    acquireAnyway() {
      semaphore.acquireAnyway();
      counters[COUNT.held]!++;
    },
    release() {
      semaphore.release();
      counters[COUNT.held]!--;
    },
  };
}

/** True for a joined session that the order concerns. */
export function isConcerned(
  session: SpliceSession,
  { upstream, throughEpoch }: DrainScope,
): boolean {
  return session.phase === "joined" && session.upstreamName === upstream &&
    session.epoch <= throughEpoch;
}
