/**
 * TLS handshakes under way. Each costs a descriptor and whoever begins one need not say a word, so there are
 * few for each address and few in all; where there are too many, the one that has taken longest gives way. A
 * client that means it is through within a few round trips, whoever else is silent.
 */
import type { Clock } from "../base/clock.ts";

/** Handshakes of one address at one time, and of all; fewer where few connections are allowed at all. */
export const HANDSHAKES_EACH_MAX = 64;
export const HANDSHAKES_MAX = 512;
export const HANDSHAKES_MIN = 16;
/** One that has taken so long may be ended where descriptors are short. */
const SLOW_MS = 1_000;

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

  /** Takes one up; `close` is called if it has to give way. */
  add(address: string, close: () => void): Handshake {
    const group = groupOf(address);
    const own = this.#groups.get(group) ?? new Set();
    if (own.size >= this.#eachMax) this.#end(own);
    else if (this.#all.size >= this.#allMax) this.#end(this.#all);
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
    for (const { since } of this.#all) {
      if (this.#clock.now() - since < SLOW_MS) return false;
      this.#end(this.#all);
      return true;
    }
    return false;
  }

  #end(some: ReadonlySet<Handshake>): void {
    for (const oldest of some) {
      this.delete(oldest);
      return oldest.close();
    }
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
