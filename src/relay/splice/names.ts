/**
 * The socket addresses behind a name that the operator gave: it is looked up, and looked up again while it
 * is in use. A name that fails to resolve keeps the addresses it had: a DNS server in trouble looks the same
 * as a name that is gone.
 */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import { type LookUp, systemLookUp } from "../../net/look_up.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { ipSockaddr } from "../../linux/sockaddr.ts";

/** How old an answer may get, and how soon a failed look-up is repeated. */
const FRESH_MS = 5_000;
const RETRY_MS = 1_000;

/** Keeps the addresses of one name up to date until it is disposed of. */
export class NameWatch implements Disposable {
  readonly #clock: Clock;
  readonly #address: Address & { kind: "tcp" };
  readonly #tell: (addresses: readonly SockAddr[]) => void;
  readonly #lastFound: Map<string, readonly string[]>;
  readonly #lookUp: LookUp;
  #cancel: () => void = () => {};
  #isOver = false;

  /**
   * `tell` gets the addresses after each look-up: none if it failed and the name was never found before,
   * as `lastFound` remembers from one watch to the next.
   */
  constructor(
    clock: Clock,
    address: Address & { kind: "tcp" },
    tell: (addresses: readonly SockAddr[]) => void,
    lastFound: Map<string, readonly string[]>,
    lookUp = systemLookUp,
  ) {
    this.#clock = clock;
    this.#address = address;
    this.#tell = tell;
    this.#lastFound = lastFound;
    this.#lookUp = lookUp;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    const { host, port } = this.#address;
    const found = await this.#lookUp(host);
    if (this.#isOver) return;
    if (found.length > 0) this.#lastFound.set(host, found);
    const known = this.#lastFound.get(host) ?? [];
    this.#tell(known.map((ip) => ipSockaddr(ip, port)).filter((address) => address !== undefined));
    const againMs = found.length > 0 ? FRESH_MS : RETRY_MS;
    this.#cancel = this.#clock.after(againMs, () => void this.#ask());
  }

  /** Tells nothing more from now on. A look-up that is under way cannot be called off; it goes unheard. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel();
  }
}
