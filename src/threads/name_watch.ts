/**
 * The socket addresses of a host name, which is resolved again and again while it is in use. The resolver
 * (`net/resolve.ts`) decides what is kept while the name service fails, and the order of the addresses.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { SockAddr } from "../linux/kernel.ts";
import { scopedSockaddr } from "../linux/scope.ts";
import { type Resolver, resolver as ofProcess } from "../net/resolve.ts";

/** The interval between two look-ups: normally, and after one that found nothing. */
const FRESH_MS = 5_000;
const RETRY_MS = 1_000;

/** Keeps the addresses of one name up to date until it is disposed of. */
export class NameWatch implements Disposable {
  readonly #clock: Clock;
  readonly #address: Address & { kind: "tcp" };
  readonly #onAddresses: (addresses: readonly SockAddr[]) => void;
  readonly #resolver: Resolver;
  #cancel: () => void = () => {};
  #isOver = false;

  /**
   * `onAddresses` gets the addresses after each look-up; an empty list if the name was never found. It is not called
   * while the first look-up has no answer.
   */
  constructor(
    clock: Clock,
    address: Address & { kind: "tcp" },
    onAddresses: (addresses: readonly SockAddr[]) => void,
    resolver = ofProcess,
  ) {
    this.#clock = clock;
    this.#address = address;
    this.#onAddresses = onAddresses;
    this.#resolver = resolver;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    const { host, port } = this.#address;
    const found = await this.#resolver.resolve(host);
    if (this.#isOver) return;
    const ips = found instanceof Fault ? [] : found;
    this.#onAddresses(
      ips.map((ip) => scopedSockaddr(ip, port)).filter((address) => address !== undefined),
    );
    const againMs = ips.length > 0 ? FRESH_MS : RETRY_MS;
    this.#cancel = this.#clock.after(againMs, () => void this.#ask());
  }

  /** Stops the look-ups. One that is under way cannot be aborted; its result is ignored. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel();
  }
}
