/**
 * The contract between a thread and its shards. A shard is the part of a service that runs in one thread: the
 * splice relay in TCP mode, the gateway in HTTP mode (compare Seastar's sharded services).
 */
import type { Loop } from "../linux/loop.ts";
import type { EmbeddedLoop } from "../net/linux/embedded_loop.ts";
import type { SharedCounters } from "./memory.ts";
import type { ShardOrder, ShardReport } from "./messages.ts";
import type { SharedSemaphore } from "./shared_semaphore.ts";

/** The part of a service in one thread. */
export interface Shard {
  /** Carries an order out; it is in force when this returns. */
  execute(order: ShardOrder): void;
  /** Looks for clients at the listening socket: a permit may be free, or another thread may have left some. */
  look(): void;
  /** Writes its counters, if it does not do so at once. Called when the thread may be about to sleep. */
  count?(): void;
}

/** What a thread provides to a shard. */
export interface ShardContext {
  readonly loop: Loop;
  /** The same loop for shards that use promises; undefined in a thread that never runs any. */
  readonly embedded: EmbeddedLoop | undefined;
  readonly counters: SharedCounters;
  /** The limits of the service, in the order of its `ServiceSpec`. */
  readonly limits: readonly SharedSemaphore[];
  readonly report: (report: ShardReport) => void;
  /**
   * Must be called before work of Deno's own begins for the shard (a timer, a file, a fetch); the function that it
   * returns must be called when that has ended. Meanwhile the thread does not sleep in epoll alone.
   */
  readonly outside: () => () => void;
}

/** Makes the shard of one service; `settings` are those of its `ServiceSpec`. Throws only because of a bug. */
export type MakeShard = (settings: unknown, context: ShardContext) => Shard;

/** A kind of shards. */
export interface ShardKind {
  readonly make: MakeShard;
  /** The shard uses promises, so that the thread has to run them between the ticks of its loop. */
  readonly hasPromises: boolean;
}

/** Loads the code of each kind. Only those that a thread may be given are loaded. */
export type ShardKinds = Readonly<Record<string, () => Promise<ShardKind>>>;
