/**
 * TLS handshakes under way. Each takes a descriptor, and a client can open one without sending a byte. So
 * their number is limited for each address and in total. When a limit is reached, the handshake that has taken longest
 * is ended, but never a young one: an honest client is done within a few round trips. Further clients then
 * wait to be accepted until there is room.
 */
import type { Clock } from "../base/clock.ts";

/** The most handshakes of one address at one time, and of all; fewer where few connections are allowed. */
export const HANDSHAKES_EACH_MAX = 64;
export const HANDSHAKES_MAX = 512;
export const HANDSHAKES_MIN = 16;
/** A handshake that has taken this long may be ended for others, in milliseconds. */
const SLOW_MS = 250;

/** A handshake that was added, to be passed to `delete`. */
export interface Handshake {
  readonly group: string;
  readonly since: number;
  readonly close: () => void;
}

export class Handshakes {
  readonly #clock: Clock;
  /** In the order of their age, the oldest first; so are those of each group. */
  readonly #all = new Set<Handshake>();
  readonly #groups = new Map<string, Set<Handshake>>();
  readonly #allMax: number;
  readonly #eachMax: number;

  /** `connectionsMax`: the most clients at one time. Handshakes do not count toward it. */
  constructor(clock: Clock, connectionsMax: number) {
    this.#clock = clock;
    const part = Math.max(HANDSHAKES_MIN, Math.ceil(connectionsMax / 4));
    this.#allMax = Math.min(HANDSHAKES_MAX, part);
    this.#eachMax = Math.min(HANDSHAKES_EACH_MAX, part);
  }

  get size(): number {
    return this.#all.size;
  }

  /** True if there is room for one more, if necessary after the oldest one was ended. */
  makeRoom(): boolean {
    return this.#all.size < this.#allMax || this.giveWay();
  }

  /** Adds a handshake. `close` is called if it must be ended for others. */
  add(address: string, close: () => void): Handshake {
    const group = groupOf(address);
    const own = this.#groups.get(group) ?? new Set();
    if (own.size >= this.#eachMax) this.#endSlow(own);
    const handshake = { group, since: this.#clock.now(), close };
    this.#groups.set(group, own.add(handshake));
    this.#all.add(handshake);
    return handshake;
  }

  /** Removes a handshake that is over, whether it succeeded or not. */
  delete(handshake: Handshake): void {
    if (!this.#all.delete(handshake)) return;
    const own = this.#groups.get(handshake.group)!;
    own.delete(handshake);
    if (own.size === 0) this.#groups.delete(handshake.group);
  }

  /** Ends the handshake that has taken longest, if it is old enough; false if there is none. */
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

/** The IPv4 address, or the 64-bit network of an IPv6 address, which is what one client usually gets. */
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
