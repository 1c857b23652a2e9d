/** The orders of the control plane, sent to the shards of one service in all threads. */
import type { DataPlane, DrainOrder } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { SockAddr } from "../linux/kernel.ts";
import type { ShardedService } from "./sharded_service.ts";
import type { Addresses } from "./messages.ts";

/** Topics of the orders that a new thread gets: where clients go, and the socket that they come from. */
const ROUTE = "route";
const LISTENER = "listener";

/** The data plane of one service. An order resolves when it is in force in all living threads. */
export class ShardedDataPlane implements DataPlane {
  readonly #service: ShardedService;

  constructor(service: ShardedService) {
    this.#service = service;
  }

  /** For shards that find the addresses themselves. */
  open(upstream: Upstream, epoch: number): Promise<void> {
    return this.openAt(upstream.name, epoch, undefined);
  }

  /** As `open`, with the addresses of the upstream; undefined while its name is being resolved. */
  openAt(upstream: string, epoch: number, addresses: Addresses): Promise<void> {
    return this.#service.order({ do: "open", upstream, epoch, addresses }, ROUTE);
  }

  /** The addresses of an upstream have changed. */
  setAddresses(upstream: string, addresses: readonly SockAddr[]): Promise<void> {
    const route = this.#service.standing(ROUTE);
    const ordered = this.#service.order({ do: "addresses", upstream, addresses });
    if (route?.do === "open" && route.upstream === upstream) {
      this.#service.stand({ ...route, addresses }, ROUTE);
    }
    return ordered;
  }

  /** Clients come from this listening socket. */
  listen(listener: number): Promise<void> {
    return this.#service.order({ do: "listen", listener }, LISTENER);
  }

  /** New threads do not get the listening socket any more. */
  forgetListener(): void {
    this.#service.withdraw(LISTENER);
  }

  hold(): Promise<void> {
    return this.#service.order({ do: "hold" }, ROUTE);
  }

  refuse(): Promise<void> {
    return this.#service.order({ do: "refuse" }, ROUTE);
  }

  confirm(upstream: string): Promise<void> {
    return this.#service.order({ do: "confirm", upstream });
  }

  drain(order: DrainOrder): Promise<void> {
    return this.#service.order({ do: "drain", order });
  }

  spare(upstream: string): Promise<void> {
    return this.#service.order({ do: "spare", upstream });
  }

  async busy(upstream: string, throughEpoch: number): Promise<number> {
    await this.#service.order({ do: "count", upstream, throughEpoch });
    return this.#service.busy();
  }
}
