/** A short text that is equal for equal options, and almost certainly different for different ones. Pure. */
import type { Config, ServiceConfig } from "./options.ts";

/** FNV-1a with 64 bits. It protects nothing, so collisions that somebody constructs do no harm. */
const BASIS = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;

/** 16 hexadecimal digits for the values of all options of a service, wherever they come from. */
export function fingerprint({ origins: _, ...values }: ServiceConfig): string {
  return hashOf(values);
}

/** The same for all options of the process and its services. */
export function configFingerprint({ process, services }: Config): string {
  return hashOf([process, ...services].map(({ origins: _, ...values }) => values));
}

function hashOf(values: unknown): string {
  let hash = BASIS;
  for (const byte of new TextEncoder().encode(JSON.stringify(values))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * PRIME);
  }
  return hash.toString(16).padStart(16, "0");
}
