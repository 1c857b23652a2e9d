/** The forms of values in etcd's JSON gateway: numbers of 64 bits are text, bytes are base64. Pure. */
import { EtcdError } from "./etcd.ts";

/** Text as the gateway wants bytes. */
export function encode64(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

/** The text of bytes from the gateway. */
export function decode64(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(base64));
  } catch {
    throw new EtcdError(
      "unreachable",
      "the answer is not one of etcd: a key or value is not base64",
    );
  }
}

/** The `range_end` of all keys that begin with `prefix`, which ends with `/`. */
export function prefixEnd(prefix: string): string {
  if (!prefix.endsWith("/")) throw new Error(`Cannot make a range of ${prefix}`);
  // The character after `/` is `0`.
  return encode64(`${prefix.slice(0, -1)}0`);
}

/** The value as an object; throws if it is none. */
export function objectIn(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new EtcdError("unreachable", "the answer is not one of etcd");
}

/** A field with text; empty if it is left out. */
export function textIn(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name] ?? "";
  if (typeof value === "string") return value;
  throw new EtcdError("unreachable", `the answer is not one of etcd: ${name}`);
}

/** A field with a whole number of 64 bits, as text or number; 0 if it is left out. */
export function numberIn(fields: Readonly<Record<string, unknown>>, name: string): number {
  const value = Number(fields[name] ?? 0);
  if (Number.isSafeInteger(value)) return value;
  throw new EtcdError("unreachable", `the answer is not one of etcd: ${name}`);
}
