/** Orders of the main thread and reports of a thread, as plain data for `postMessage`. */
import type { Event } from "../events/events.ts";
import type { Doubt, DrainOrder } from "../failover/ports.ts";
import type { SockAddr } from "../linux/kernel.ts";
import type { Marks } from "../linux/tracked_libc.ts";
import type { ServiceMemory, ThreadMemory } from "./memory.ts";

/** The addresses of an upstream; undefined while its name is being resolved, empty if it has none. */
export type Addresses = readonly SockAddr[] | undefined;

/** An order to the shard of one service. */
export type ShardOrder =
  /** Accepts clients on this listening socket, which the main thread owns, until `refuse` or `stop`. */
  | { readonly do: "listen"; readonly listener: number }
  | {
    readonly do: "open";
    readonly upstream: string;
    readonly epoch: number;
    readonly addresses: Addresses;
  }
  | { readonly do: "hold" }
  | { readonly do: "refuse" }
  | { readonly do: "confirm"; readonly upstream: string }
  | { readonly do: "drain"; readonly order: DrainOrder }
  | { readonly do: "spare"; readonly upstream: string }
  /** Counts the sessions that are not quiet (`DataPlane.busy`), in the counter `BUSY`. */
  | { readonly do: "count"; readonly upstream: string; readonly throughEpoch: number }
  /** The current addresses of the upstream. */
  | { readonly do: "addresses"; readonly upstream: string; readonly addresses: readonly SockAddr[] }
  /**
   * Forgets the listening socket, and ends when the last session has. The report `stopped` follows. `isLeft`: another
   * process accepts the clients of that socket, also those that are in its queue.
   */
  | { readonly do: "stop"; readonly drainMs: number; readonly isLeft?: boolean }
  /** Ends a stop that is under way. */
  | { readonly do: "cutAll" }
  /** Other settings, and limits in the order of the `ServiceSpec`, are in force from now on. */
  | { readonly do: "configure"; readonly settings: unknown; readonly limits: readonly number[] }
  /** A message that only this kind of shard understands. */
  | { readonly do: "message"; readonly what: unknown };

/** What a thread gets to make the shard of a service. */
export interface ShardSpec {
  /** Names the code of the shard. */
  readonly kind: string;
  readonly settings: unknown;
  readonly memory: ServiceMemory;
}

/** One message to a thread. It confirms the number when the order is in force. */
export type Envelope =
  | { readonly id: number; readonly service: number; readonly order: ShardOrder }
  | { readonly id: number; readonly service: number; readonly spec: ShardSpec }
  /** Looks for clients at the listening sockets of all services. */
  | { readonly id: number; readonly look: true }
  /** Ends the thread. */
  | { readonly id: number; readonly quit: true };

/** A report of the shard of one service. */
export type ShardReport =
  | { readonly is: "event"; readonly event: Event }
  | { readonly is: "doubt"; readonly doubt: Doubt }
  /** The last report of a shard that was stopped; `cut` counts sessions. */
  | { readonly is: "stopped"; readonly cut: number }
  /** A message that only this kind of shard sends. */
  | { readonly is: "message"; readonly what: unknown };

/** One message of a thread. */
export type ThreadMessage =
  | { readonly is: "done"; readonly id: number }
  | { readonly is: "report"; readonly service: number; readonly report: ShardReport }
  /** A bug was caught, and the thread goes on. */
  | { readonly is: "faulted"; readonly reason: string }
  /** The last message: a bug ended the thread. */
  | { readonly is: "died"; readonly reason: string }
  /** The last message after `quit`. */
  | { readonly is: "quit" };

/** What the main thread sends to a thread once, at its start. */
export interface ThreadStart {
  readonly number: number;
  /** The kinds of shards that it may be given. */
  readonly kinds: readonly string[];
  readonly memory: ThreadMemory;
  /** Where the thread marks the descriptors that it has open. */
  readonly marks: Marks;
  readonly port: MessagePort;
}
