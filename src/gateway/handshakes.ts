/**
 * TLS handshakes under way. Each takes a descriptor, and a client can open one without sending a byte, so their
 * number is limited. Further clients wait to be accepted. When that limit is reached, or descriptors are short,
 * a handshake is ended to make room: first one whose client has sent nothing for a while, from the address with
 * the most handshakes. A client that has begun gets as much time as a normal one needs on a slow network.
 */
import type { Clock } from "../base/clock.ts";
import type { TlsSocket } from "../net/deno/unfinished_tls.ts";

/** The most handshakes at one time; fewer where few connections are allowed. */
export const HANDSHAKES_MAX = 512;

/** The limit of handshakes at one time is not less than this, however few connections are allowed. */
export const HANDSHAKES_MIN = 16;
/** A handshake may be ended for others after this, in milliseconds, if its client has sent nothing … */
const SILENT_MS = 250;
/** … and after this if it has: some round trips, and a packet that was lost and sent again. */
const SLOW_MS = 2_000;
/** The one to end is chosen among this many of the oldest, so that the search stays short. */
const COMPARED_MAX = 32;

/** How handshakes of one kind of connections are examined and ended; `UnfinishedTls` does it for those of Deno. */
export interface HandshakeSockets<C> {
  /** Ends it and closes its connection; `alike` are those that may be asked about soon. */
  end(conn: C, alike: Iterable<C>): void;
  /** True if its client has not sent the first message, as far as is known. */
  isSilent(conn: C, alike: Iterable<C>): boolean;
}

/** A handshake that was added, to be passed to `delete` or `end`. */
export interface Handshake<C = TlsSocket> {
  readonly conn: C;
  readonly group: string;
  /** When it began, by the clock, in milliseconds. */
  readonly since: number;
  /** True once its client is known to have begun. */
  hasBegun: boolean;
}

/** The handshakes of one listener. */
export class Handshakes<C = TlsSocket> {
  readonly #clock: Clock;
  readonly #sockets: HandshakeSockets<C>;
  /** In the order of their age, the oldest first. */
  readonly #all = new Set<Handshake<C>>();
  /** How many there are of each address. */
  readonly #groups = new Map<string, number>();
  readonly #max: number;

  /** `connectionsMax`: the most clients at one time. Handshakes do not count toward it. */
  constructor(clock: Clock, connectionsMax: number, sockets: HandshakeSockets<C>) {
    this.#clock = clock;
    this.#sockets = sockets;
    const part = Math.max(HANDSHAKES_MIN, Math.ceil(connectionsMax / 4));
    this.#max = Math.min(HANDSHAKES_MAX, part);
  }

  get size(): number {
    return this.#all.size;
  }

  /** True if there is room for one more, if necessary after another one was ended. */
  makeRoom(): boolean {
    return this.#all.size < this.#max || this.giveWay();
  }

  /** Adds a handshake that begins now; `address` is the client's. */
  add(conn: C, address: string): Handshake<C> {
    const group = groupOf(address);
    this.#groups.set(group, (this.#groups.get(group) ?? 0) + 1);
    const handshake = { conn, group, since: this.#clock.now(), hasBegun: false };
    this.#all.add(handshake);
    return handshake;
  }

  /**
   * Removes a handshake that is over, whether it succeeded or not. False if it was ended for others: it may have
   * succeeded at the same time, but its connection is closed.
   */
  delete(handshake: Handshake<C>): boolean {
    if (!this.#all.delete(handshake)) return false;
    const { group } = handshake;
    const left = this.#groups.get(group)! - 1;
    if (left > 0) this.#groups.set(group, left);
    else this.#groups.delete(group);
    return true;
  }

  /** Ends a handshake that is not over, and closes its connection. */
  end(handshake: Handshake<C>): void {
    if (!this.#all.has(handshake)) return;
    this.delete(handshake);
    this.#sockets.end(handshake.conn, this.#conns());
  }

  /** Ends all handshakes, because the listener is closed. */
  endAll(): void {
    for (const handshake of this.#all) this.end(handshake);
  }

  /** Ends a handshake that may be ended for others; false if there is none. */
  giveWay(): boolean {
    const now = this.#clock.now();
    let chosen: Handshake<C> | undefined;
    let slow = 0;
    for (const handshake of this.#all) {
      const ageMs = now - handshake.since;
      if (ageMs < SILENT_MS || slow === COMPARED_MAX) break;
      if (this.#hasBegun(handshake) && ageMs < SLOW_MS) continue;
      slow++;
      if (this.#isBefore(handshake, chosen)) chosen = handshake;
    }
    if (chosen === undefined) return false;
    this.end(chosen);
    return true;
  }

  /** True if `one` must give way before `other`, which is older. */
  #isBefore(one: Handshake<C>, other: Handshake<C> | undefined): boolean {
    if (other === undefined) return true;
    if (one.hasBegun !== other.hasBegun) return other.hasBegun;
    return this.#groups.get(one.group)! > this.#groups.get(other.group)!;
  }

  #hasBegun(handshake: Handshake<C>): boolean {
    handshake.hasBegun ||= !this.#sockets.isSilent(handshake.conn, this.#conns());
    return handshake.hasBegun;
  }

  *#conns(): Iterable<C> {
    for (const { conn } of this.#all) yield conn;
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
