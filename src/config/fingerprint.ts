/** A short text that is the same for the same options, and almost surely another one for others. Pure. */
import type { ServiceConfig } from "./options.ts";

/** FNV-1a with 64 bits. It is no secret, and nobody gains by a collision. */
const BASIS = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;

/** 16 hexadecimal digits for the values of all options of a service, wherever they come from. */
export function fingerprint({ origins: _, ...values }: ServiceConfig): string {
  let hash = BASIS;
  for (const byte of new TextEncoder().encode(JSON.stringify(values))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * PRIME);
  }
  return hash.toString(16).padStart(16, "0");
}
