/**
 * The type of bytes in memory; and sizes, as people write them (`64KB`, `10MB`) and as numbers of bytes. One KB is
 * 1024 bytes. Pure.
 */
import { ConfigError, type Parsed } from "./config_error.ts";

/** Bytes in memory that no other thread shares, as system calls through FFI take them. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** A line end. */
export const NEWLINE = 10;
const UNITS = ["B", "KB", "MB", "GB", "TB"] as const;

/** Reads a size into bytes; a bare number is bytes, `K`, `KB` and `KiB` mean the same. */
export function parseBytes(text: string): Parsed<number> {
  const parts = /^(\d+(?:\.\d+)?)\s*(?:([kmgt]?)i?b?)$/i.exec(text);
  const expected = new ConfigError("a size like 512, 64KB, 10MB or 1GB");
  if (parts === null) return expected;
  const power = parts[2] === "" ? 0 : "KMGT".indexOf(parts[2]!.toUpperCase()) + 1;
  const bytes = Math.round(Number(parts[1]) * 1024 ** power);
  return Number.isSafeInteger(bytes) ? bytes : expected;
}

/** Prints bytes in the largest unit that keeps one decimal: `512B`, `64KB`, `1.5MB`. */
export function formatBytes(bytes: number): string {
  let power = 0;
  let amount = bytes;
  while (amount >= 1024 && power < UNITS.length - 1) {
    amount /= 1024;
    power++;
  }
  return `${Math.round(amount * 10) / 10}${UNITS[power]}`;
}

/** The number of line ends (LF) in these bytes. */
export function countLines(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => byte === NEWLINE ? sum + 1 : sum, 0);
}
