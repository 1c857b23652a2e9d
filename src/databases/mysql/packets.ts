/**
 * The packets of the protocol of MySQL and MariaDB that a client of few words needs. Pure.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
 */
import { Fault } from "../../base/fault.ts";
import { oneLine } from "../../base/one_line.ts";
import type { Framer } from "../conversation.ts";
import { Cursor } from "../cursor.ts";

/** The longest packet that is accepted, in bytes. Those that answer our questions have a few hundred. */
export const PACKET_MAX_BYTES = 64 * 1024;
const HEADER_BYTES = 4;

/** A packet of the server. */
export interface Packet {
  /** Its number within one exchange. */
  readonly sequence: number;
  readonly body: Uint8Array;
}

/** The kinds of packets, by their first byte. */
export const KIND = { ok: 0x00, more: 0x01, nil: 0xfb, end: 0xfe, error: 0xff } as const;

/** What the two sides are capable of. Only what is used here. */
export const CAN = {
  longPassword: 0x1,
  longFlag: 0x4,
  protocol41: 0x200,
  tls: 0x800,
  transactions: 0x2000,
  secureConnection: 0x8000,
  pluginAuth: 0x8_0000,
  attributes: 0x10_0000,
} as const;

/** Finds packets in the bytes of a server. */
export class MysqlFramer implements Framer<Packet> {
  #kept: Uint8Array = new Uint8Array(0);

  push(bytes: Uint8Array): Packet[] {
    const all = new Uint8Array(this.#kept.length + bytes.length);
    all.set(this.#kept);
    all.set(bytes, this.#kept.length);
    const found: Packet[] = [];
    let at = 0;
    for (; all.length - at >= HEADER_BYTES;) {
      const length = all[at]! | (all[at + 1]! << 8) | (all[at + 2]! << 16);
      if (length === 0 || length > PACKET_MAX_BYTES) throw notMysql();
      if (all.length - at < HEADER_BYTES + length) break;
      const body = all.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length);
      found.push({ sequence: all[at + 3]!, body });
      at += HEADER_BYTES + length;
    }
    this.#kept = all.subarray(at);
    return found;
  }
}

/** The server does not speak this protocol. */
export function notMysql(): Fault {
  return new Fault("badResponse", "no packet of MySQL's protocol");
}

/** A packet to send. */
export function packet(sequence: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.length);
  bytes.set([body.length & 0xff, (body.length >> 8) & 0xff, body.length >> 16, sequence & 0xff]);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

/** The server's first packet. */
export interface Greeting {
  readonly version: string;
  readonly capabilities: number;
  /** The random bytes that a password is hashed with. */
  readonly scramble: Uint8Array;
  /** The kind of log-in that it proposes. */
  readonly plugin: string;
}

/** Reads the first packet. Throws a `Fault` if it is none. */
export function greetingOf(body: Uint8Array): Greeting {
  const cursor = new Cursor(body);
  if (cursor.u8() !== 10) throw notMysql();
  const version = oneLine(cursor.cstring()).slice(0, 100);
  cursor.u32(); // the number of the connection
  const first = cursor.bytes(8).slice();
  cursor.u8();
  let capabilities = cursor.u16(true);
  cursor.bytes(3); // character set, status
  capabilities |= cursor.u16(true) << 16;
  const length = Math.max(13, cursor.u8() - 8);
  cursor.bytes(10);
  const second = cursor.bytes(Math.min(length, cursor.left));
  // The last byte of the random part is a NUL that ends it.
  const scramble = new Uint8Array([...first, ...second.subarray(0, Math.max(0, length - 1))]);
  const plugin = cursor.left === 0 ? "mysql_native_password" : cursor.looseString();
  return { version, capabilities, scramble, plugin };
}

/** What an error packet says. */
export interface MysqlComplaint {
  readonly code: number;
  readonly text: string;
}

/** Reads an error packet. */
export function mysqlComplaint(body: Uint8Array): MysqlComplaint {
  const cursor = new Cursor(body);
  cursor.u8();
  const code = cursor.u16(true);
  const text = new TextDecoder().decode(cursor.rest()).replace(/^#[0-9A-Z]{5}/, "");
  return { code, text: oneLine(text).slice(0, 200) };
}

/** A number of variable length; null is NULL. */
export function variableNumber(cursor: Cursor): number | null {
  const first = cursor.u8();
  if (first < 0xfb) return first;
  if (first === 0xfb) return null;
  if (first === 0xfc) return cursor.u16(true);
  if (first === 0xfd) return cursor.u16(true) + cursor.u8() * 0x1_0000;
  if (first === 0xfe) return cursor.u32(true) + cursor.u32(true) * 2 ** 32;
  throw notMysql();
}

/** A text of variable length; null is NULL. */
export function variableText(cursor: Cursor): string | null {
  const length = variableNumber(cursor);
  return length === null ? null : new TextDecoder().decode(cursor.bytes(length));
}

/** The packet that asks for TLS; the handshake begins right after it. */
export function tlsRequest(capabilities: number): Uint8Array {
  const body = new Uint8Array(32);
  const view = new DataView(body.buffer);
  view.setUint32(0, capabilities, true);
  view.setUint32(4, PACKET_MAX_BYTES, true);
  body[8] = UTF8;
  return body;
}

/** utf8mb4_general_ci, which all servers know. */
const UTF8 = 45;

/** The log-in, with what `answer` proves, and the name of the program among its attributes. */
export function loginRequest(capabilities: number, login: {
  readonly user: string;
  readonly answer: Uint8Array;
  readonly plugin: string;
}): Uint8Array {
  const text = new TextEncoder();
  const attribute = [...lengthThen("program_name"), ...lengthThen("failover")];
  return new Uint8Array([
    ...tlsRequest(capabilities),
    ...text.encode(login.user),
    0,
    login.answer.length,
    ...login.answer,
    ...text.encode(login.plugin),
    0,
    ...(capabilities & CAN.attributes) === 0 ? [] : [attribute.length, ...attribute],
  ]);

  function lengthThen(word: string): number[] {
    return [word.length, ...text.encode(word)];
  }
}

/** A query as a command. */
export function mysqlQuery(sql: string): Uint8Array {
  return new Uint8Array([3, ...new TextEncoder().encode(sql)]);
}

/** The goodbye as a command. */
export const QUIT: Uint8Array = new Uint8Array([1]);
