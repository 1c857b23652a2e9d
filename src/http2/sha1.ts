/**
 * SHA-1 (RFC 3174), without a wait: `crypto.subtle` answers through Deno's event loop, which a thread that waits in
 * the kernel's loop does not see for seconds. Only for `Sec-WebSocket-Accept`, where it protects nothing.
 */
import type { Bytes } from "../base/bytes.ts";

const BLOCK_BYTES = 64;
const ROUNDS = 80;

/** The 20 bytes of the hash. */
export function sha1(message: Uint8Array): Bytes {
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  const padded = withPadding(message);
  const view = new DataView(padded.buffer);
  const words = new Int32Array(ROUNDS);
  for (let at = 0; at < padded.length; at += BLOCK_BYTES) addBlock(state, view, at, words);
  const hash = new DataView(new ArrayBuffer(20));
  state.forEach((word, i) => hash.setInt32(i * 4, word));
  return new Uint8Array(hash.buffer);
}

/** The message, one bit, zeros, and the number of its bits in the last 64. */
function withPadding(message: Uint8Array): Bytes {
  const padded = new Uint8Array(Math.ceil((message.length + 9) / BLOCK_BYTES) * BLOCK_BYTES);
  padded.set(message);
  padded[message.length] = 0x80;
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  return padded;
}

function addBlock(state: Int32Array, view: DataView, at: number, words: Int32Array): void {
  for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + i * 4);
  for (let i = 16; i < ROUNDS; i++) {
    words[i] = left(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1);
  }
  let [a, b, c, d, e] = state as unknown as [number, number, number, number, number];
  for (let i = 0; i < ROUNDS; i++) {
    const next = (left(a, 5) + mixed(i, b, c, d) + e + words[i]!) | 0;
    [e, d, c, b, a] = [d, c, left(b, 30), a, next];
  }
  [a, b, c, d, e].forEach((word, i) => state[i]! += word);
}

/** The function of a round and its constant. */
function mixed(round: number, b: number, c: number, d: number): number {
  if (round < 20) return ((b & c) | (~b & d)) + 0x5a827999;
  if (round < 40) return (b ^ c ^ d) + 0x6ed9eba1;
  if (round < 60) return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
  return (b ^ c ^ d) + 0xca62c1d6;
}

function left(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
