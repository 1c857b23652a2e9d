/**
 * A client of a story that is told over HTTP/1.1 and over HTTP/2: it sends heads and parts of bodies, reads as much
 * as the story wants, and leaves in the middle. It reads only when it is asked to, so that a client that asks for
 * nothing is a slow reader.
 */

/** What clients of a story speak. */
export type Protocol = "HTTP/1.1" | "HTTP/2";

/** What may follow an exchange's beginning. */
export interface Begun {
  /** Whether a body follows, by `send` and `end`. Its length is unknown unless `lines` declare it. */
  readonly hasBody?: boolean;
}

/** How an exchange ended for its client. */
export type ExchangeEnd = "whole" | "ended" | "reset";

/** A head of a response; its status is 0 if the exchange ended without one. */
export interface Head {
  readonly status: number;
  readonly reason: string;
  /** Lines in the order in which they arrived. */
  readonly lines: readonly string[];
  /** The first value of a field, by its name in any case. */
  get(name: string): string | undefined;
}

/** A whole response, or as much of it as came before `end`. */
export interface WholeAnswer extends Head {
  /** The statuses of the interim responses before it. */
  readonly interim: readonly number[];
  /** One character for each byte. */
  readonly body: string;
  readonly trailers: readonly string[];
  readonly end: ExchangeEnd;
}

/** One connection of a client. */
export interface StoryClient {
  readonly conn: Deno.TcpConn;
  /** Sends the head of a request; `lines` as in HTTP/1.1. Over HTTP/2 others may be under way. */
  begin(method: string, path: string, lines?: readonly string[], begun?: Begun): Promise<Exchange>;
  /** Asks for a WebSocket. If the response's status is `OPENED`, the exchange is a tunnel. */
  tunnel(path: string, lines?: readonly string[]): Promise<Exchange>;
  /** Reads until the server has ended the connection, orderly or by a reset. */
  readToEnd(): Promise<"ended" | "reset">;
}

/** The status with which a tunnel begins: that of HTTP/1.1, and that of HTTP/2. */
export const OPENED: readonly number[] = [101, 200];

/** What an exchange reads. */
export type Part =
  | { readonly kind: "head"; readonly head: Head }
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "trailers"; readonly lines: readonly string[] }
  | { readonly kind: "end"; readonly end: ExchangeEnd };

/** One request and its response. */
export abstract class Exchange {
  #trailers: readonly string[] = [];
  #end: ExchangeEnd | undefined;

  /** Sends a part of the body: a chunk, or DATA frames. Over HTTP/2 nothing, once the server has ended the exchange. */
  abstract send(part: string | Uint8Array): Promise<void>;
  /** Ends the body, or this side of a tunnel. */
  abstract end(trailers?: readonly string[]): Promise<void>;
  /** Leaves: closes the connection, or resets the stream. */
  abstract leave(): Promise<void>;
  /** The next part; after the end again and again the end. */
  protected abstract next(): Promise<Part>;

  /** The next head, interim or final. */
  async head(): Promise<Head> {
    for (;;) {
      const part = await this.next();
      if (part.kind === "head") return part.head;
      if (part.kind === "end") {
        this.#end = part.end;
        return headOf(0, "", []);
      }
    }
  }

  /** Reads the body until `mark` has come, or the end. Returns what was not returned before. */
  async readUntil(mark: string): Promise<string> {
    let text = "";
    // What was searched already is searched again only where the mark may have begun.
    for (let from = 0; !text.includes(mark, from);) {
      const bytes = await this.read();
      if (bytes === undefined) break;
      from = Math.max(0, text.length - mark.length);
      text += textOf(bytes);
    }
    return text;
  }

  /** The next bytes of the body; undefined at the end. */
  async read(): Promise<Uint8Array | undefined> {
    while (this.#end === undefined) {
      const part = await this.next();
      if (part.kind === "data") return part.bytes;
      if (part.kind === "trailers") this.#trailers = part.lines;
      if (part.kind === "end") this.#end = part.end;
    }
    return undefined;
  }

  /** Reads the rest of the body. */
  async rest(): Promise<Pick<WholeAnswer, "body" | "trailers" | "end">> {
    let body = "";
    for (let bytes = await this.read(); bytes !== undefined; bytes = await this.read()) {
      body += textOf(bytes);
    }
    return { body, trailers: this.#trailers, end: this.#end! };
  }

  /** Reads the whole response. */
  async answer(): Promise<WholeAnswer> {
    const interim: number[] = [];
    let head = await this.head();
    for (; head.status >= 100 && head.status < 200; head = await this.head()) {
      interim.push(head.status);
    }
    return { ...head, interim, ...await this.rest() };
  }
}

/** The head of these lines. */
export function headOf(status: number, reason: string, lines: readonly string[]): Head {
  return {
    status,
    reason,
    lines,
    get: (name) => {
      const line = lines.find((each) => each.toLowerCase().startsWith(`${name.toLowerCase()}:`));
      return line?.slice(name.length + 1).trim();
    },
  };
}

/** The bytes of a part; each character of a text is a byte. */
export function bytesOf(part: string | Uint8Array): Uint8Array {
  return typeof part === "string" ? Uint8Array.from(part, (c) => c.charCodeAt(0)) : part;
}

/** One character for each byte, which no TextDecoder gives. */
function textOf(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4_096) {
    text += String.fromCharCode(...bytes.subarray(at, at + 4_096));
  }
  return text;
}

/** Writes all of it. */
export async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Reads once; how the connection ended, if it has. */
export async function readOnce(conn: Deno.Conn): Promise<Uint8Array | "ended" | "reset"> {
  const buffer = new Uint8Array(65_536);
  try {
    const count = await conn.read(buffer);
    return count === null ? "ended" : buffer.subarray(0, count);
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return "reset";
    throw error;
  }
}
