/**
 * What a thread lends to a shard, and what it asks of it. A shard is the data plane of one service in one
 * thread: the splice relay of TCP mode, or the gateway of HTTP mode.
 */
import type { Loop } from "../linux/loop.ts";
import type { EmbeddedLoop } from "../net/linux/embedded_loop.ts";
import type { SharedCounters } from "./memory.ts";
import type { ShardOrder, ShardReport } from "./messages.ts";
import type { SharedSemaphore } from "./shared_semaphore.ts";

export interface Shard {
  /** Carries an order out; it is in force when this returns. */
  execute(order: ShardOrder): void;
  /** Looks for clients at the listening socket: a permit may be free, or another thread may have left some. */
  look(): void;
  /** Writes its counters, if it does not do so at once. Called when the thread may be about to sleep. */
  count?(): void;
}

export interface ShardContext {
  readonly loop: Loop;
  /** The same loop for shards that use promises; undefined in a thread that never runs any. */
  readonly embedded: EmbeddedLoop | undefined;
  readonly counters: SharedCounters;
  /** The limits of the service, in the order of its `ServiceSpec`. */
  readonly limits: readonly SharedSemaphore[];
  readonly report: (report: ShardReport) => void;
  /** Must be called while something of Deno's own runs for the shard; what it returns, when that has ended. */
  readonly outside: () => () => void;
}

/** Makes the shard of one service. `settings` are those of its `ServiceSpec`. */
export type MakeShard = (settings: unknown, context: ShardContext) => Shard;

/** A kind of shards. */
export interface ShardKind {
  readonly make: MakeShard;
  /** The shard uses promises, so that the thread has to run them between the ticks of its loop. */
  readonly hasPromises: boolean;
}

/** Loads the code of each kind. Only those that a thread may be given are loaded. */
export type ShardKinds = Readonly<Record<string, () => Promise<ShardKind>>>;
