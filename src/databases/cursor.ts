/** Reads the fields of one message, in order. Reading beyond its end is a `Fault`, never a wrong value. */
import { Fault } from "../base/fault.ts";

const TEXT = new TextDecoder();

/** A position in the bytes of a message. */
export class Cursor {
  #at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The number of bytes that were not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(isLittle = false): number {
    return this.#view.getUint16(this.#take(2), isLittle);
  }

  u32(isLittle = false): number {
    return this.#view.getUint32(this.#take(4), isLittle);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  /** The next `count` bytes, a view into the message. */
  bytes(count: number): Uint8Array {
    const from = this.#take(count);
    return this.#bytes.subarray(from, from + count);
  }

  /** All bytes that are left. */
  rest(): Uint8Array {
    return this.bytes(this.left);
  }

  /** The text up to the next NUL, which is skipped. */
  cstring(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end === -1) throw cutShort();
    const text = TEXT.decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }

  /** The text up to the next NUL, or to the end if there is none. */
  looseString(): string {
    return this.#bytes.indexOf(0, this.#at) === -1 ? TEXT.decode(this.rest()) : this.cstring();
  }

  #take(count: number): number {
    if (count > this.left) throw cutShort();
    const from = this.#at;
    this.#at += count;
    return from;
  }
}

function cutShort(): Fault {
  return new Fault("badResponse", "a message ends too early");
}
