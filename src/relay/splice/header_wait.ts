/**
 * A client whose PROXY protocol header has not come yet. It is read as far as it goes and no byte farther, so that
 * what follows is the session's.
 */
import { EAGAIN } from "../../linux/errno.ts";
import type { Loop, Watcher } from "../../linux/loop.ts";
import { NEVER, type Timed } from "../../linux/timer_wheel.ts";
import {
  parseProxyHeader,
  type ProxiedAddresses,
  PROXY_HEADER_BYTES_MAX,
  PROXY_HEADER_MS,
  type ProxyVersions,
} from "../../net/proxy_protocol.ts";

/** What a wait needs, and who learns of its end. */
export interface HeaderWaitOwner {
  readonly loop: Loop;
  readonly versions: ProxyVersions;
  /** The header has come: the owner owns the socket, which is not watched any more. */
  announced(wait: HeaderWait, addresses: ProxiedAddresses | undefined): void;
  /** None has come, or not in time. The owner closes the socket, which is not watched any more. */
  unannounced(wait: HeaderWait): void;
}

/** One client that waits, for `PROXY_HEADER_MS` at most. */
export class HeaderWait implements Watcher, Timed {
  due = NEVER;
  next: Timed | undefined;
  previous: Timed | undefined;
  readonly client: number;
  readonly #owner: HeaderWaitOwner;
  readonly #bytes = new Uint8Array(PROXY_HEADER_BYTES_MAX);
  #length = 0;
  #isOver = false;

  /** Owns the socket `client` until it is given back. */
  constructor(client: number, owner: HeaderWaitOwner) {
    this.client = client;
    this.#owner = owner;
  }

  /** Begins to wait. Returns 0 or a negated error number; then nothing is called. */
  begin(): number {
    const { loop } = this.#owner;
    const result = loop.watch(this.client, this);
    if (result === 0) loop.after(this, PROXY_HEADER_MS);
    return result;
  }

  ready(): void {
    const { loop: { kernel }, versions } = this.#owner;
    while (!this.#isOver) {
      const parsed = parseProxyHeader(this.#bytes, this.#length, versions);
      if (parsed.is === "complete") {
        return this.#end(() => this.#owner.announced(this, parsed.addresses));
      }
      if (parsed.is === "malformed") return this.expire();
      const room = this.#bytes.subarray(this.#length, this.#length + parsed.missing);
      const count = kernel.receiveInto(this.client, room);
      if (count === -EAGAIN) return;
      if (count <= 0) return this.expire();
      this.#length += count;
    }
  }

  expire(): void {
    this.#end(() => this.#owner.unannounced(this));
  }

  /** Ends the wait; the caller owns the socket. */
  cancel(): void {
    this.#end(() => {});
  }

  #end(then: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { loop } = this.#owner;
    loop.cancel(this);
    loop.unwatch(this.client);
    then();
  }
}

/** All clients of a shard whose header has not come yet. */
export class HeaderWaits implements HeaderWaitOwner {
  readonly loop: Loop;
  readonly versions: ProxyVersions;
  readonly #waits = new Set<HeaderWait>();
  readonly #onHeader: (client: number, addresses: ProxiedAddresses | undefined) => void;
  readonly #onMissing: (client: number) => void;

  /** Each socket is given to one of the two callbacks, which owns it then. */
  constructor(
    loop: Loop,
    versions: ProxyVersions,
    onHeader: (client: number, addresses: ProxiedAddresses | undefined) => void,
    onMissing: (client: number) => void,
  ) {
    this.loop = loop;
    this.versions = versions;
    this.#onHeader = onHeader;
    this.#onMissing = onMissing;
  }

  get size(): number {
    return this.#waits.size;
  }

  /** Waits for the header of a client. Returns 0, or a negated error number: then its socket is not taken over. */
  add(client: number): number {
    const wait = new HeaderWait(client, this);
    const result = wait.begin();
    if (result === 0) this.#waits.add(wait);
    return result;
  }

  announced(wait: HeaderWait, addresses: ProxiedAddresses | undefined): void {
    this.#waits.delete(wait);
    this.#onHeader(wait.client, addresses);
  }

  unannounced(wait: HeaderWait): void {
    this.#waits.delete(wait);
    this.#onMissing(wait.client);
  }

  /** Ends all waits, and returns the sockets, which the caller owns then. */
  cancelAll(): number[] {
    const waits = [...this.#waits];
    this.#waits.clear();
    for (const wait of waits) wait.cancel();
    return waits.map(({ client }) => client);
  }
}
