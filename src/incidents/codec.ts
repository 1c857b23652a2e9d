/**
 * Recorded inputs as JSON and back. JSON has no maps, sets and infinite numbers, so each of them is an object
 * with one key: `$map`, `$set`, `$number`. Undefined properties are left out. Pure.
 */
import type { Recorded } from "./recording.ts";

/** The recorded inputs as a value that JSON can hold. */
export function encode(recorded: Recorded): unknown {
  return plain(recorded);
}

/** The argument of `encode` that gave this value; undefined if there is none. */
export function decode(value: unknown): Recorded | undefined {
  const read = rich(value) as Partial<Recorded> | undefined;
  const isWhole = typeof read === "object" && read !== null && Array.isArray(read.entries) &&
    Array.isArray(read.decided) && typeof read.policy === "object" &&
    typeof read.pace === "object" &&
    typeof read.wallOffset === "number" && read.start?.health instanceof Map;
  return isWhole ? read as Recorded : undefined;
}

function plain(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) return { $number: String(value) };
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) {
    return { $map: [...value].map(([key, each]) => [plain(key), plain(each)]) };
  }
  if (value instanceof Set) return { $set: [...value].map(plain) };
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(entries.map(([key, each]) => [key, plain(each)]));
}

function rich(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(rich);
  const { $map, $set, $number } = value as Record<string, unknown>;
  if (typeof $number === "string") return Number($number);
  if (Array.isArray($set)) return new Set($set.map(rich));
  if (Array.isArray($map)) return new Map(rich($map) as [unknown, unknown][]);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rich(each)]));
}
