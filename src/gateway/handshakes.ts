/**
 * TLS handshakes under way. Each costs a descriptor and whoever begins one need not say a word, so there are
 * few for each address and few in all; where there are too many, the one that has taken longest gives way. One
 * that is young never does: a client that means it is through within a few round trips, and a crowd that comes
 * at once waits to be accepted until there is room.
 */
import type { Clock } from "../base/clock.ts";

/** Handshakes of one address at one time, and of all; fewer where few connections are allowed at all. */
export const HANDSHAKES_EACH_MAX = 64;
export const HANDSHAKES_MAX = 512;
export const HANDSHAKES_MIN = 16;
/** One that has taken so long may be ended for others. */
const SLOW_MS = 250;

/** One of them; for `delete`. */
export interface Handshake {
  readonly group: string;
  readonly since: number;
  readonly close: () => void;
}

export class Handshakes {
  readonly #clock: Clock;
  /** The oldest first, as are those of each group. */
  readonly #all = new Set<Handshake>();
  readonly #groups = new Map<string, Set<Handshake>>();
  readonly #allMax: number;
  readonly #eachMax: number;

  /** `connectionsMax`: clients at one time; handshakes come on top of those. */
  constructor(clock: Clock, connectionsMax: number) {
    this.#clock = clock;
    const part = Math.max(HANDSHAKES_MIN, Math.ceil(connectionsMax / 4));
    this.#allMax = Math.min(HANDSHAKES_MAX, part);
    this.#eachMax = Math.min(HANDSHAKES_EACH_MAX, part);
  }

  get size(): number {
    return this.#all.size;
  }

  /** True if there is room for one more, or the slowest has given way. */
  makeRoom(): boolean {
    return this.#all.size < this.#allMax || this.giveWay();
  }

  /** Takes one up; `close` is called if it has to give way. */
  add(address: string, close: () => void): Handshake {
    const group = groupOf(address);
    const own = this.#groups.get(group) ?? new Set();
    if (own.size >= this.#eachMax) this.#endSlow(own);
    const handshake = { group, since: this.#clock.now(), close };
    this.#groups.set(group, own.add(handshake));
    this.#all.add(handshake);
    return handshake;
  }

  /** It is over, whatever came of it. */
  delete(handshake: Handshake): void {
    if (!this.#all.delete(handshake)) return;
    const own = this.#groups.get(handshake.group)!;
    own.delete(handshake);
    if (own.size === 0) this.#groups.delete(handshake.group);
  }

  /** Ends the one that has taken longest, if that is long; false if there is none. */
  giveWay(): boolean {
    return this.#endSlow(this.#all);
  }

  #endSlow(some: ReadonlySet<Handshake>): boolean {
    for (const oldest of some) {
      if (this.#clock.now() - oldest.since < SLOW_MS) return false;
      this.delete(oldest);
      oldest.close();
      return true;
    }
    return false;
  }
}

/** The address itself; of IPv6 the network of 64 bits, which is what one client is given. */
export function groupOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  return [...left, ...Array<string>(zeros).fill("0"), ...right].slice(0, 4).join(":");
}
