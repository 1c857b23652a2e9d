/**
 * Decodes header blocks (RFC 7541). A field is given to its sink as bytes, so that no string is made of what is
 * only passed on. A block must be decoded to its end even if its request is refused, because the table of the
 * connection depends on it; what a block costs is bounded by the limit of its encoded size.
 */
import type { Bytes } from "../base/bytes.ts";
import { decodeHuffman } from "./huffman.ts";
import { DynamicTable } from "./dynamic_table.ts";
import { STATIC_COUNT, STATIC_TABLE, type TableEntry } from "./static_table.ts";

/** The size of the dynamic table in bytes: the default, since our SETTINGS announce no other. */
const TABLE_BYTES = 4096;
/** Most bytes of an integer after its first one: no length that we accept needs more. */
const INTEGER_BYTES_MAX = 4;

/**
 * The text of literals that are Huffman-coded. One for all connections, since a block is decoded at once: a client
 * could else make each of its connections keep as much as the longest head.
 */
let scratch: Bytes = new Uint8Array(1024);
const NONE = new Uint8Array(0);

/** Receives the fields of a block, in order. */
export interface FieldSink {
  /** The views are valid during the call only. */
  field(
    names: Uint8Array,
    nameStart: number,
    nameEnd: number,
    values: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void;
}

/** One for each connection. */
export class HpackDecoder {
  readonly #table = new DynamicTable(TABLE_BYTES);
  /** Where the text that was read last stands. */
  #text: Uint8Array = NONE;
  #textStart = 0;
  #textEnd = 0;
  #bytes: Uint8Array = NONE;
  #at = 0;
  #end = 0;

  /** Decodes one whole block. False if it is malformed: the connection must end (COMPRESSION_ERROR). */
  decode(bytes: Uint8Array, start: number, end: number, sink: FieldSink): boolean {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    const isGood = this.#block(sink);
    // A connection that waits must not keep what it has decoded.
    this.#bytes = this.#text = NONE;
    return isGood;
  }

  #block(sink: FieldSink): boolean {
    if (!this.#resize()) return false;
    while (this.#at < this.#end) {
      if (!this.#field(this.#bytes[this.#at]!, sink)) return false;
    }
    return true;
  }

  /** New sizes of the table may stand at the beginning of a block only (RFC 7541 section 4.2). */
  #resize(): boolean {
    while (this.#at < this.#end && (this.#bytes[this.#at]! & 0xe0) === 0x20) {
      const size = this.#integer(5);
      if (size < 0 || !this.#table.resize(size)) return false;
    }
    return true;
  }

  /** One field, by the form that its first byte says, RFC 7541 section 6. */
  #field(first: number, sink: FieldSink): boolean {
    if ((first & 0x80) !== 0) {
      const entry = this.#entry(this.#integer(7));
      if (entry === undefined) return false;
      const { name, value } = entry;
      sink.field(name, 0, name.length, value, 0, value.length);
      return true;
    }
    if ((first & 0x40) !== 0) return this.#literal(6, true, sink);
    return (first & 0x20) === 0 && this.#literal(4, false, sink);
  }

  #literal(prefixBits: number, isKept: boolean, sink: FieldSink): boolean {
    const index = this.#integer(prefixBits);
    let name: Uint8Array;
    let nameStart = 0;
    let nameEnd: number;
    let scratchAt = 0;
    if (index > 0) {
      const entry = this.#entry(index);
      if (entry === undefined) return false;
      name = entry.name;
      nameEnd = name.length;
    } else {
      if (index < 0 || !this.#string(0)) return false;
      name = this.#text;
      nameStart = this.#textStart;
      nameEnd = this.#textEnd;
      if (name === scratch) scratchAt = nameEnd;
    }
    if (!this.#string(scratchAt)) return false;
    // Growing for the value has left the name in the buffer before, which nobody writes to any more.
    const value = this.#text;
    sink.field(name, nameStart, nameEnd, value, this.#textStart, this.#textEnd);
    if (isKept) {
      this.#table.add({
        name: nameEnd === name.length && index > 0
          ? name as Bytes
          : new Uint8Array(name.subarray(nameStart, nameEnd)),
        value: new Uint8Array(value.subarray(this.#textStart, this.#textEnd)),
      });
    }
    return true;
  }

  #entry(index: number): TableEntry | undefined {
    if (index <= 0) return undefined;
    return index <= STATIC_COUNT ? STATIC_TABLE[index] : this.#table.at(index - STATIC_COUNT - 1);
  }

  /** An integer, RFC 7541 section 5.1; -1 if it is cut or far too large. */
  #integer(prefixBits: number): number {
    const bytes = this.#bytes;
    const most = (1 << prefixBits) - 1;
    if (this.#at >= this.#end) return -1;
    let value = bytes[this.#at++]! & most;
    if (value < most) return value;
    for (let i = 0; i < INTEGER_BYTES_MAX; i++) {
      if (this.#at >= this.#end) return -1;
      const byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    return -1;
  }

  /** A string, RFC 7541 section 5.2, whose place is noted. `scratchAt`: the first free byte of the scratch buffer. */
  #string(scratchAt: number): boolean {
    if (this.#at >= this.#end) return false;
    const isCoded = (this.#bytes[this.#at]! & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (length < 0 || end > this.#end) return false;
    this.#at = end;
    if (!isCoded) {
      this.#text = this.#bytes;
      this.#textStart = start;
      this.#textEnd = end;
      return true;
    }
    const needed = scratchAt + Math.ceil(length * 8 / 5);
    if (needed > scratch.length) scratch = new Uint8Array(needed * 2);
    this.#text = scratch;
    this.#textStart = scratchAt;
    this.#textEnd = decodeHuffman(this.#bytes, start, end, scratch, scratchAt);
    return this.#textEnd >= 0;
  }
}
