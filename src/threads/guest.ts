/**
 * What a thread lends to a guest, and what it asks of it. A guest is the data plane of one service in one
 * thread: the splice relay of TCP mode, or the gateway of HTTP mode.
 */
import type { Loop } from "../linux/loop.ts";
import type { EmbeddedLoop } from "../net/linux/embedded_loop.ts";
import type { Counters } from "./memory.ts";
import type { Order, Report } from "./messages.ts";
import type { SharedPlaces } from "./places.ts";

export interface Guest {
  /** Carries an order out; it is in force when this returns. */
  obey(order: Order): void;
  /** Looks for clients at the listening socket: a place may be free, or another thread may have left some. */
  look(): void;
  /** Writes its counters, if it does not do so at once. Called when the thread may be about to sleep. */
  count?(): void;
}

export interface Surroundings {
  readonly loop: Loop;
  /** The same loop for guests that use promises; undefined in a thread that never runs any. */
  readonly embedded: EmbeddedLoop | undefined;
  readonly counters: Counters;
  /** The limits of the service, in the order of its `ServiceSpec`. */
  readonly limits: readonly SharedPlaces[];
  readonly report: (report: Report) => void;
  /** Must be called while something of Deno's own runs for the guest; what it returns, when that has ended. */
  readonly outside: () => () => void;
}

/** Makes the guest of one service. `settings` are those of its `ServiceSpec`. */
export type MakeGuest = (settings: unknown, surroundings: Surroundings) => Guest;

/** A kind of guests. */
export interface GuestKind {
  readonly make: MakeGuest;
  /** The guest uses promises, so that the thread has to run them between the ticks of its loop. */
  readonly hasPromises: boolean;
}

/** Loads the code of each kind. Only those that a thread may be given are loaded. */
export type GuestKinds = Readonly<Record<string, () => Promise<GuestKind>>>;
