/** Bytes that belong to a number, so that they can be checked by that number. */

const SIZE = 2_048;

export function patternOf(number: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE);
  for (let at = 0, value = number; at < SIZE; at++) {
    value = (Math.imul(value, 1_103_515_245) + 12_345) & 0x7fffffff;
    bytes[at] = value >> 16;
  }
  return bytes;
}

/** The number of wrong bytes, including missing ones and those too many. */
export function differing(got: Uint8Array, wanted: Uint8Array): number {
  let count = Math.abs(got.length - wanted.length);
  for (let at = 0; at < Math.min(got.length, wanted.length); at++) {
    if (got[at] !== wanted[at]) count++;
  }
  return count;
}
