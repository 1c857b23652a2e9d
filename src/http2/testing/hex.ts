/** Bytes as the RFCs print them. */
import type { Bytes } from "../../base/bytes.ts";

/** The bytes of pairs of hexadecimal digits; white space is ignored. */
export function fromHex(text: string): Bytes {
  return Uint8Array.from(text.replace(/\s/g, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
