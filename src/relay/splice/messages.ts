/** What the main thread orders and the worker reports, as plain data that survives `postMessage`. */
import type { Event } from "../../events/events.ts";
import type { Doubt, DrainOrder } from "../../failover/ports.ts";
import type { PortShare, SockAddr } from "../../linux/kernel.ts";
import type { Marks } from "../../linux/tracked_libc.ts";
import type { RelaySettings } from "../engine.ts";
import type { Counters } from "./counters.ts";

/** Where an upstream can be reached; undefined while its name is being looked up, empty if it has none. */
export type Addresses = readonly SockAddr[] | undefined;

export type Order =
  | { readonly do: "open"; readonly upstream: string; readonly epoch: number; addresses: Addresses }
  | { readonly do: "hold" }
  | { readonly do: "refuse" }
  | { readonly do: "confirm"; readonly upstream: string }
  | { readonly do: "drain"; readonly order: DrainOrder }
  | { readonly do: "spare"; readonly upstream: string }
  /** Where to listen; the empty address while the name is unknown. */
  | { readonly do: "bind"; readonly address: SockAddr }
  /** The upstream's addresses as of now. */
  | { readonly do: "addresses"; readonly upstream: string; readonly addresses: readonly SockAddr[] }
  | { readonly do: "stop"; readonly drainMs: number }
  /** Ends a stop that is under way. */
  | { readonly do: "cutAll" };

/** An order with the number under which the worker says that it is in force. */
export interface Envelope {
  readonly id: number;
  readonly order: Order;
}

export type Report =
  | { readonly is: "done"; readonly id: number }
  | { readonly is: "event"; readonly event: Event }
  | { readonly is: "doubt"; readonly doubt: Doubt }
  /** The worker's last word after a bug, which ended it. */
  | { readonly is: "died"; readonly reason: string }
  /** The worker's last word. */
  | { readonly is: "stopped"; readonly cut: number };

/** What the main thread hands to a worker once. */
export interface Start {
  readonly settings: RelaySettings;
  readonly counters: Counters;
  /** Where the worker marks what it has open. */
  readonly marks: Marks;
  /** Wakes the worker; the main thread's own. */
  readonly eventfd: number;
  readonly port: MessagePort;
  readonly reusePort: PortShare;
}
