/**
 * The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B). The code is canonical: codes of one length
 * follow each other in the order of their symbols, and shorter codes come first, so the lengths say it all.
 *
 * Decoding takes four bits at a time through a table that is made once: from the node of the code's tree that
 * was reached so far and the next four bits to the next node and, at most, one symbol, since no code is shorter
 * than five bits.
 */

/** The length of the code of each byte, in bits. */
// deno-fmt-ignore
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
/** The last symbol, which ends nothing and must not occur. */
const EOS = 256;
/** A text may end with so many bits of padding at most. */
const PADDING_BITS_MAX = 7;

/** Symbols in the order of their codes, and their codes. */
function canonicalCodes(): readonly (readonly [symbol: number, code: number, length: number])[] {
  const symbols = LENGTHS.map((length, symbol) => ({ length, symbol }));
  symbols.sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  let code = 0;
  let bits = symbols[0]!.length;
  return symbols.map(({ length, symbol }) => {
    code *= 2 ** (length - bits);
    bits = length;
    return [symbol, code++, length] as const;
  });
}

/** A node of the code's tree: where 0 and 1 lead to, as the index of a node, or -1 - symbol. */
interface Node {
  readonly next: [number, number];
  readonly depth: number;
  /** True if it is reached by ones alone: what stands before it may be padding. */
  readonly isOnes: boolean;
}

function codeTree(): readonly Node[] {
  const nodes: Node[] = [{ next: [0, 0], depth: 0, isOnes: true }];
  for (const [symbol, code, length] of canonicalCodes()) {
    let at = 0;
    for (let left = length - 1; left >= 0; left--) {
      const bit = Math.floor(code / 2 ** left) % 2;
      const node = nodes[at]!;
      if (left === 0) node.next[bit] = -1 - symbol;
      else if (node.next[bit] === 0) {
        at = node.next[bit] = nodes.length;
        nodes.push({ next: [0, 0], depth: node.depth + 1, isOnes: node.isOnes && bit === 1 });
      } else at = node.next[bit]!;
    }
  }
  return nodes;
}

/** In a step: there is a symbol, in its lowest byte. */
const HAS_SYMBOL = 0x1_0000;
/** In a step: these bits cannot occur. */
const INVALID = 0x2_0000;
/** In a step: the text may end here. */
const MAY_END = 0x4_0000;

/** For each node and each four bits a step: flags, the next node in the second byte, and the symbol. */
function decodingSteps(): Int32Array {
  const nodes = codeTree();
  const steps = new Int32Array(nodes.length * 16);
  for (let node = 0; node < nodes.length; node++) {
    for (let bits = 0; bits < 16; bits++) {
      let at = node;
      let step = 0;
      for (let left = 3; left >= 0; left--) {
        const next = nodes[at]!.next[(bits >>> left) & 1]!;
        if (next === -1 - EOS) step |= INVALID;
        else if (next < 0) step |= HAS_SYMBOL | (-1 - next);
        at = Math.max(0, next);
      }
      const { isOnes, depth } = nodes[at]!;
      if (isOnes && depth <= PADDING_BITS_MAX) step |= MAY_END;
      steps[node * 16 + bits] = step | (at << 8);
    }
  }
  return steps;
}

const STEPS = decodingSteps();

/**
 * Decodes the bytes from `start` to `end` into `to` at `at`, which must have room for 8/5 of them. Returns where
 * it ended, or -1 if they are no text in this code.
 */
export function decodeHuffman(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  at: number,
): number {
  let length = at;
  let node = 0;
  let step = MAY_END;
  let seen = 0;
  for (let i = start; i < end; i++) {
    const byte = from[i]!;
    step = STEPS[node * 16 + (byte >>> 4)]!;
    seen |= step;
    if ((step & HAS_SYMBOL) !== 0) to[length++] = step;
    node = (step >>> 8) & 0xff;
    step = STEPS[node * 16 + (byte & 15)]!;
    seen |= step;
    if ((step & HAS_SYMBOL) !== 0) to[length++] = step;
    node = (step >>> 8) & 0xff;
  }
  return (seen & INVALID) !== 0 || (step & MAY_END) === 0 ? -1 : length;
}
