/**
 * The socket addresses behind an operator's address. Literals and unix paths are known at once; a name is
 * looked up (getaddrinfo: /etc/hosts and DNS alike) and looked up again while it is in use. A name that
 * fails to resolve keeps the addresses it had: a DNS server in trouble looks the same as a name that is gone.
 */
import { lookup } from "node:dns/promises";
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { ipSockaddr, unixSockaddr } from "../../linux/sockaddr.ts";

/** How old an answer may get, and how soon a failed look-up is repeated. */
const FRESH_MS = 5_000;
const RETRY_MS = 1_000;

/** The socket addresses of `address` if it takes no look-up to know them. */
export function literalSockaddrs(address: Address): readonly SockAddr[] | undefined {
  if (address.kind === "unix") return [unixSockaddr(address.path)];
  const literal = ipSockaddr(address.host, address.port);
  return literal === undefined ? undefined : [literal];
}

/** Looks a name up; every address it has, none if that failed. */
export type LookUp = (host: string) => Promise<readonly string[]>;

const systemLookUp: LookUp = async (host) => {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    return []; // why is not told in a way that could be relied on, and would change nothing
  }
};

/** Keeps the addresses of one name up to date until it is told to stop. */
export class NameWatch implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #address: Address & { kind: "tcp" };
  readonly #tell: (addresses: readonly SockAddr[]) => void;
  readonly #lookUp: LookUp;
  #cancel: () => void = () => {};
  #isOver = false;
  #running: Promise<void>;

  /** `tell` gets what is known after each look-up; nothing known is told once, as an empty list. */
  constructor(
    clock: Clock,
    address: Address & { kind: "tcp" },
    tell: (addresses: readonly SockAddr[]) => void,
    lookUp = systemLookUp,
  ) {
    this.#clock = clock;
    this.#address = address;
    this.#tell = tell;
    this.#lookUp = lookUp;
    this.#running = this.#ask();
  }

  async #ask(): Promise<void> {
    const { host, port } = this.#address;
    const found = await this.#lookUp(host);
    if (this.#isOver) return;
    this.#tell(found.map((ip) => ipSockaddr(ip, port)).filter((known) => known !== undefined));
    const againMs = found.length > 0 ? FRESH_MS : RETRY_MS;
    this.#cancel = this.#clock.after(againMs, () => this.#running = this.#ask());
  }

  /** Tells nothing more from now on; resolves when the last look-up has come back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    this.#cancel();
    await this.#running;
  }
}
