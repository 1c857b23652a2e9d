/** Orders of the main thread and reports of a worker, as plain data for `postMessage`. */
import type { Event } from "../../events/events.ts";
import type { Doubt, DrainOrder } from "../../failover/ports.ts";
import type { PortShare, SockAddr } from "../../linux/kernel.ts";
import type { Marks } from "../../linux/tracked_libc.ts";
import type { RelaySettings } from "../engine.ts";
import type { Counters } from "./counters.ts";

/** The addresses of an upstream; undefined while its name is being resolved, empty if it has none. */
export type Addresses = readonly SockAddr[] | undefined;

export type Order =
  | { readonly do: "open"; readonly upstream: string; readonly epoch: number; addresses: Addresses }
  | { readonly do: "hold" }
  | { readonly do: "refuse" }
  | { readonly do: "confirm"; readonly upstream: string }
  | { readonly do: "drain"; readonly order: DrainOrder }
  | { readonly do: "spare"; readonly upstream: string }
  /** The address to listen on. */
  | { readonly do: "bind"; readonly address: SockAddr }
  /** The current addresses of the upstream. */
  | { readonly do: "addresses"; readonly upstream: string; readonly addresses: readonly SockAddr[] }
  | { readonly do: "stop"; readonly drainMs: number }
  /** Ends a stop that is under way. */
  | { readonly do: "cutAll" };

/** An order, and the number with which the worker confirms that it is in force. */
export interface Envelope {
  readonly id: number;
  readonly order: Order;
}

export type Report =
  | { readonly is: "done"; readonly id: number }
  | { readonly is: "event"; readonly event: Event }
  | { readonly is: "doubt"; readonly doubt: Doubt }
  /** The last report of a worker that a bug ended. */
  | { readonly is: "died"; readonly reason: string }
  /** The last report of a worker that was stopped; `cut` counts sessions. */
  | { readonly is: "stopped"; readonly cut: number };

/** What the main thread sends to a worker once, at its start. */
export interface Start {
  readonly settings: RelaySettings;
  readonly counters: Counters;
  /** Where the worker marks the descriptors that it has open. */
  readonly marks: Marks;
  /** Wakes the worker; the main thread owns and closes it. */
  readonly eventfd: number;
  readonly port: MessagePort;
  readonly reusePort: PortShare;
}
