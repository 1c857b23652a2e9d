/** Connections accepted beyond the limit, for our own endpoints and to answer the others with 503. */
const RESERVE_MIN = 8;
const RESERVE_MAX = 64;

/** How many connections are accepted beyond `connectionsMax`. */
export function reserveOf(connectionsMax: number): number {
  return Math.max(RESERVE_MIN, Math.min(RESERVE_MAX, Math.ceil(connectionsMax / 8)));
}
