/**
 * Where clients go, as a thread sees it: the upstream and the epoch of a `Route` (`failover/ports.ts`), and the
 * addresses of that upstream with the one to try first.
 */
import type { SockAddr } from "../../linux/kernel.ts";

/** One route. A new decision makes a new object; new addresses do not. */
export class ResolvedRoute {
  readonly upstream: string;
  readonly epoch: number;
  #addresses: readonly SockAddr[] | undefined;
  /** Index of the address that answered last, or that comes after one that did not. */
  #first = 0;

  constructor(upstream: string, epoch: number, addresses: readonly SockAddr[] | undefined) {
    this.upstream = upstream;
    this.epoch = epoch;
    this.#addresses = addresses;
  }

  /** Undefined while the name is being resolved; empty when it has no address. */
  get addresses(): readonly SockAddr[] | undefined {
    return this.#addresses;
  }

  /** Index of the address that a client begins with. */
  get first(): number {
    return this.#first;
  }

  /** Sets the current addresses, whose order may differ each time. */
  setAddresses(addresses: readonly SockAddr[]): void {
    const preferred = this.#addresses?.[this.#first];
    this.#addresses = addresses;
    this.#first = preferred === undefined ? 0 : Math.max(0, this.#placeOf(preferred));
  }

  /** This address answers: clients begin with it. */
  prefer(address: SockAddr): void {
    this.#first = Math.max(0, this.#placeOf(address));
  }

  /** This address does not answer: clients that come now begin with the one after it. */
  avoid(address: SockAddr): void {
    const count = this.#addresses?.length ?? 0;
    if (count > 1 && this.#placeOf(address) === this.#first) {
      this.#first = (this.#first + 1) % count;
    }
  }

  #placeOf(address: SockAddr): number {
    const addresses = this.#addresses ?? [];
    const place = addresses.indexOf(address);
    return place !== -1
      ? place
      : addresses.findIndex((other) =>
        other.length === address.length && other.every((byte, at) => byte === address[at])
      );
  }
}
