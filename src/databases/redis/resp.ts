/**
 * The protocol of Redis and Valkey, version 2: commands to send, and replies found in the bytes of a server. Pure.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
import { Fault } from "../../base/fault.ts";
import { oneLine } from "../../base/one_line.ts";
import type { Framer } from "../conversation.ts";

/** The longest line or text that is accepted, in bytes. */
export const TEXT_MAX_BYTES = 64 * 1024;
/** Values within one reply, and arrays within arrays. */
const VALUES_MAX = 10_000;
const DEPTH_MAX = 8;

/** An error reply. */
export class RedisError {
  /** The first word, such as `NOAUTH`. */
  readonly code: string;
  readonly text: string;

  constructor(text: string) {
    this.text = oneLine(text).slice(0, 200);
    this.code = /^[A-Z]*/.exec(this.text)![0];
  }
}

/** A reply. Status and text are the same here. */
export type RedisReply = string | number | null | RedisError | readonly RedisReply[];

/** Encodes a command. */
export function command(...words: readonly string[]): Uint8Array {
  const encoder = new TextEncoder();
  const parts = words.map((word) => `$${encoder.encode(word).length}\r\n${word}\r\n`);
  return encoder.encode(`*${words.length}\r\n${parts.join("")}`);
}

interface OpenArray {
  readonly values: RedisReply[];
  left: number;
}

const CR = 13;
const LF = 10;

/** Finds replies. */
export class RespFramer implements Framer<RedisReply> {
  #kept: Uint8Array = new Uint8Array(0);
  /** The length of the text under way; undefined while a line is. */
  #text: number | undefined;
  readonly #open: OpenArray[] = [];
  #values = 0;

  push(bytes: Uint8Array): RedisReply[] {
    const all = new Uint8Array(this.#kept.length + bytes.length);
    all.set(this.#kept);
    all.set(bytes, this.#kept.length);
    const found: RedisReply[] = [];
    let at = 0;
    for (;;) {
      const length = this.#text ?? lineLength(all, at);
      if (length > TEXT_MAX_BYTES) throw notRedis();
      if (all.length < at + length + 2) break;
      if (all[at + length] !== CR || all[at + length + 1] !== LF) throw notRedis();
      const text = new TextDecoder().decode(all.subarray(at, at + length));
      at += length + 2;
      const value = this.#text === undefined ? this.#line(text) : text;
      if (value === undefined) continue;
      this.#text = undefined;
      const reply = this.#close(value);
      if (reply !== undefined) found.push(reply);
    }
    this.#kept = all.subarray(at);
    return found;
  }

  /** Reads one line; undefined if its value is yet to come. */
  #line(line: string): RedisReply | undefined {
    if (++this.#values > VALUES_MAX) throw notRedis();
    const rest = line.slice(1);
    switch (line[0]) {
      case "+":
        return rest;
      case "-":
        return new RedisError(rest);
      case ":":
        return numberOf(rest);
      case "$": {
        const length = numberOf(rest);
        if (length === -1) return null;
        if (length < 0) throw notRedis();
        this.#text = length;
        return undefined;
      }
      case "*": {
        const left = numberOf(rest);
        if (left === -1) return null;
        if (left < 0 || left > VALUES_MAX || this.#open.length === DEPTH_MAX) throw notRedis();
        if (left === 0) return [];
        this.#open.push({ values: [], left });
        return undefined;
      }
      default:
        throw notRedis();
    }
  }

  /** Puts a value where it belongs; returns it, or the array that it completes, if that is a whole reply. */
  #close(value: RedisReply): RedisReply | undefined {
    for (let each = value;;) {
      const array = this.#open.at(-1);
      if (array === undefined) {
        this.#values = 0;
        return each;
      }
      array.values.push(each);
      if (--array.left > 0) return undefined;
      this.#open.pop();
      each = array.values;
    }
  }
}

/** The length of the line that begins at `at`; so far if its end is missing. */
function lineLength(all: Uint8Array, at: number): number {
  const end = all.indexOf(CR, at);
  return (end === -1 ? all.length : end) - at;
}

function numberOf(text: string): number {
  if (!/^-?\d{1,18}$/.test(text)) throw notRedis();
  return Number(text);
}

function notRedis(): Fault {
  return new Fault("badResponse", "no reply of Redis's protocol");
}
