/**
 * How many connections one client may have at one time. Clients are distinguished by their address: one of IPv4, or the
 * first 64 bits of one of IPv6, because that is the least that a customer gets (RFC 6177) and all of it is theirs.
 *
 * The counts of all threads of a service are in memory that they share. Each thread writes a table of its own and
 * reads those of the others, so nothing is locked; clients that connect in the same microsecond to several threads
 * may be one too many. A table has a place for a client within a few steps of its hash, or does not count it:
 * at a quarter of its size that does not happen.
 */
import { LogLimiter } from "../base/log_limiter.ts";
import { ipv4Of, parseIp } from "../base/ip.ts";

/** The tables of a service, as plain data for `postMessage`. */
export interface ClientTables {
  /** Connections that one client may have at one time. */
  readonly max: number;
  /** Places in one table; a power of two. */
  readonly size: number;
  /** One table after another. A place is `fingerprint * COUNT_MAX + count`, or 0. */
  readonly places: Float64Array<SharedArrayBuffer>;
  /** Random, so that nobody can choose addresses that meet in one place. */
  readonly seeds: readonly [number, number];
}

/** Counts up to this fit beside a fingerprint of 32 bits in a number. */
const COUNT_MAX = 2 ** 20;
/** How far a client may be from the place of its hash. */
const STEPS = 32;
const SIZE_MAX = 2 ** 18;
/** Refused clients are reported at most once in this time, in milliseconds. */
const LOG_INTERVAL_MS = 10_000;

/** Room for so many connections in each thread. */
export function newClientTables(
  max: number,
  connectionsMax: number,
  threads: number,
): ClientTables {
  const size = Math.min(SIZE_MAX, 2 ** Math.ceil(Math.log2(4 * Math.max(STEPS, connectionsMax))));
  const bytes = threads * size * Float64Array.BYTES_PER_ELEMENT;
  const places = new Float64Array(new SharedArrayBuffer(bytes));
  const [first = 0, second = 0] = crypto.getRandomValues(new Uint32Array(2));
  return { max, size, places, seeds: [first, second] };
}

/** Called with a client that was refused, its limit, and how many connections of any client were refused since the last call. */
export type OnRefused = (client: string, max: number, count: number) => void;

/** The limit as one thread applies it to the connections that it accepts. */
export class ClientLimit {
  readonly #tables: ClientTables;
  #max: number;
  readonly #own: number;
  readonly #now: () => number;
  readonly #onRefused: OnRefused;
  readonly #said = new LogLimiter(LOG_INTERVAL_MS);
  #unsaid = 0;
  /** Connections that were refused. */
  refused = 0;

  /** `thread`: whose table this writes. Whatever that held is forgotten. `onRefused` is limited in rate. */
  constructor(tables: ClientTables, thread: number, now: () => number, onRefused: OnRefused) {
    this.#tables = tables;
    this.#max = tables.max;
    this.#own = thread * tables.size;
    this.#now = now;
    this.#onRefused = onRefused;
    tables.places.fill(0, this.#own, this.#own + tables.size);
  }

  /** Changes the limit; connections that are established stay. */
  setMax(max: number): void {
    this.#max = max;
  }

  /**
   * A client has connected. Undefined if it has as many connections as it may have already, and must be turned away;
   * otherwise what `leave` takes when the connection has ended.
   */
  enter(client: string): number | undefined {
    const bytes = netOf(client);
    if (bytes === undefined) return NOWHERE;
    const { places, size, seeds } = this.#tables;
    const [first, mark] = [hash(bytes, seeds[0]), hash(bytes, seeds[1]) * COUNT_MAX];
    const place = placeOf(places, this.#own, size, first, mark);
    if (place === NOWHERE) return NOWHERE;
    let count = 0;
    for (let table = 0; table < places.length; table += size) {
      const at = table === this.#own ? place : placeOf(places, table, size, first, mark);
      const found = at === NOWHERE ? 0 : places[at]!;
      if (found >= mark && found < mark + COUNT_MAX) count += found - mark;
    }
    if (count >= this.#max) return this.#refuse(client);
    places[place] = places[place] === 0 ? mark + 1 : places[place]! + 1;
    return place;
  }

  /** A connection that had entered has ended. */
  leave(place: number): void {
    if (place === NOWHERE) return;
    const { places } = this.#tables;
    const left = places[place]! - 1;
    places[place] = left % COUNT_MAX === 0 ? 0 : left;
  }

  #refuse(client: string): undefined {
    this.refused++;
    this.#unsaid++;
    if (!this.#said.allow("", this.#now())) return;
    this.#onRefused(client, this.#max, this.#unsaid);
    this.#unsaid = 0;
  }
}

/** The place of a client that is not counted. */
const NOWHERE = -1;

/** What a client is counted by; undefined for one without an address. */
function netOf(client: string): readonly number[] | undefined {
  const scope = client.indexOf("%");
  const ip = parseIp(scope < 0 ? client : client.slice(0, scope));
  return ip === undefined ? undefined : ipv4Of(ip) ?? ip.slice(0, 8);
}

/** FNV-1a, from a seed. */
function hash(bytes: readonly number[], seed: number): number {
  let value = (0x811c9dc5 ^ seed) >>> 0;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  value = Math.imul(value ^ (value >>> 15), 0x85ebca6b) >>> 0;
  // Never 0, which would look like an empty place.
  return ((value ^ (value >>> 13)) >>> 0) || 1;
}

/** The place that has this mark, else the first empty one; `NOWHERE` if there is neither. */
function placeOf(
  places: Float64Array,
  table: number,
  size: number,
  first: number,
  mark: number,
): number {
  let empty = NOWHERE;
  for (let step = 0; step < STEPS; step++) {
    const at = table + ((first + step) & (size - 1));
    const found = places[at]!;
    if (found >= mark && found < mark + COUNT_MAX) return at;
    if (found === 0 && empty === NOWHERE) empty = at;
  }
  return empty;
}
