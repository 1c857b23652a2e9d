/**
 * The messages of PostgreSQL's protocol 3.0 that a client of few words needs. Pure.
 * https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
import { Fault } from "../../base/fault.ts";
import { oneLine } from "../../base/one_line.ts";
import type { Framer } from "../conversation.ts";
import { Cursor } from "../cursor.ts";

/** The longest message that is accepted, in bytes. Those that answer our questions have a few hundred. */
export const MESSAGE_MAX_BYTES = 64 * 1024;

const TEXT = new TextEncoder();
const PROTOCOL_3_0 = 196_608;
const SSL_REQUEST = 80_877_103;

/** A message of the server: its type, one character, and what follows. */
export interface Message {
  readonly type: string;
  readonly body: Uint8Array;
}

/** What an ErrorResponse says. */
export interface PostgresComplaint {
  /** SQLSTATE, five characters. */
  readonly code: string;
  readonly text: string;
}

/** Finds messages in the bytes of a server. */
export class PostgresFramer implements Framer<Message> {
  #kept: Uint8Array = new Uint8Array(0);

  push(bytes: Uint8Array): Message[] {
    const all = new Uint8Array(this.#kept.length + bytes.length);
    all.set(this.#kept);
    all.set(bytes, this.#kept.length);
    const found: Message[] = [];
    let at = 0;
    for (; all.length - at >= 5;) {
      const type = String.fromCharCode(all[at]!);
      const length = new DataView(all.buffer, at + 1, 4).getUint32(0);
      if (!/[A-Za-z0-9]/.test(type) || length < 4) throw notPostgres();
      if (length > MESSAGE_MAX_BYTES) throw notPostgres();
      if (all.length - at < length + 1) break;
      found.push({ type, body: all.subarray(at + 5, at + 1 + length) });
      at += length + 1;
    }
    this.#kept = all.subarray(at);
    return found;
  }
}

function notPostgres(): Fault {
  return new Fault("badResponse", "no message of PostgreSQL's protocol");
}

/** Asks whether the server takes TLS. It answers with one byte, `S` or `N`. */
export function sslRequest(): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 8);
  view.setUint32(4, SSL_REQUEST);
  return bytes;
}

/** The first message of a session, with its parameters. */
export function startup(parameters: Readonly<Record<string, string>>): Uint8Array {
  const pairs = Object.entries(parameters).map(([name, value]) => `${name}\0${value}\0`).join("");
  const text = TEXT.encode(`${pairs}\0`);
  const bytes = new Uint8Array(8 + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length);
  view.setUint32(4, PROTOCOL_3_0);
  bytes.set(text, 8);
  return bytes;
}

/** A simple query. */
export const postgresQuery = (sql: string): Uint8Array => message("Q", TEXT.encode(`${sql}\0`));

/** A password, clear or hashed, as the server asked for it. */
export const password = (text: string): Uint8Array => message("p", TEXT.encode(`${text}\0`));

/** The goodbye of a session. */
export const terminate = (): Uint8Array => message("X", new Uint8Array(0));

/** The first message of a log-in by SASL (RFC 5802). */
export function saslInitial(mechanism: string, text: string): Uint8Array {
  const [name, data] = [TEXT.encode(`${mechanism}\0`), TEXT.encode(text)];
  const body = new Uint8Array(name.length + 4 + data.length);
  body.set(name);
  new DataView(body.buffer).setUint32(name.length, data.length);
  body.set(data, name.length + 4);
  return message("p", body);
}

/** A further message of a log-in by SASL. */
export const saslResponse = (text: string): Uint8Array => message("p", TEXT.encode(text));

function message(type: string, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + body.length);
  bytes[0] = type.charCodeAt(0);
  new DataView(bytes.buffer).setUint32(1, 4 + body.length);
  bytes.set(body, 5);
  return bytes;
}

/** Reads an ErrorResponse. */
export function postgresComplaint(body: Uint8Array): PostgresComplaint {
  const fields = new Map<string, string>();
  const cursor = new Cursor(body);
  for (let type = cursor.u8(); type !== 0; type = cursor.u8()) {
    fields.set(String.fromCharCode(type), cursor.cstring());
  }
  return {
    code: fields.get("C") ?? "",
    text: oneLine(fields.get("M") ?? "an error").slice(0, 200),
  };
}

/** Reads a DataRow whose values are text; null where a value is NULL. */
export function rowOf(body: Uint8Array): (string | null)[] {
  const cursor = new Cursor(body);
  const columns = cursor.u16();
  const row: (string | null)[] = [];
  for (let n = 0; n < columns; n++) {
    const length = cursor.i32();
    row.push(length < 0 ? null : new TextDecoder().decode(cursor.bytes(length)));
  }
  return row;
}
