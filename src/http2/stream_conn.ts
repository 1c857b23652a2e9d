/** A stream as a connection: a WebSocket over HTTP/2 (RFC 8441). */
import type { Bytes } from "../base/bytes.ts";
import { Fault } from "../base/fault.ts";
import { parseResponseHead } from "../http1/head.ts";
import type { HeadWriter } from "../http1/head_writer.ts";
import type { Conn } from "../net/conn.ts";
import { ERROR } from "./frames.ts";
import { sha1 } from "./sha1.ts";
import type { Stream } from "./stream.ts";

/** RFC 6455 section 1.3. */
const HANDSHAKE_ID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const LIMITS = { headBytesMax: 256 * 1024, fieldsMax: 1024 };
const EMPTY = new Uint8Array(0);

/**
 * Answers an extended CONNECT with 200 in place of the 101 in `head`, whose `Sec-WebSocket-Accept` is checked here,
 * since the key was ours. Throws a Fault.
 */
export function upgradeStream(stream: Stream, head: HeadWriter): Conn {
  const key = stream.fields.webSocketKey;
  if (key === undefined) throw new Fault("notImplemented", "upgrade over HTTP/2");
  const parsed = parseResponseHead(head.bytes, 0, head.length, LIMITS);
  if (parsed === undefined || parsed instanceof Fault) throw parsed ?? new Fault("badResponse");
  const accept = parsed.fields.get("sec-websocket-accept");
  if (accept !== acceptOf(key)) throw new Fault("badResponse", "bad Sec-WebSocket-Accept");
  stream.isOpenTunnel = true;
  stream.sendHead(head, { isLast: false, status: 200, without: "sec-websocket-accept" });
  return new StreamConn(stream);
}

/** What the upstream must answer to this key, RFC 6455 section 4.2.2. */
function acceptOf(key: string): string {
  const hash = sha1(new TextEncoder().encode(key + HANDSHAKE_ID));
  return btoa(String.fromCharCode(...hash));
}

/** The tunnel on one stream. */
class StreamConn implements Conn {
  readonly #stream: Stream;
  #rest: Bytes = EMPTY;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    if (this.#rest.length === 0) {
      const part = await this.#stream.body.read();
      if (part === undefined) return null;
      this.#rest = part;
    }
    const count = Math.min(buffer.length, this.#rest.length);
    buffer.set(this.#rest.subarray(0, count));
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  async write(bytes: Uint8Array): Promise<number> {
    const stream = this.#stream;
    if (bytes.length === 0) return 0;
    for (;;) {
      if (stream.fault !== undefined) throw stream.fault;
      if (stream.isLocalEnd) throw new Fault("closedUnused", "closed by us");
      const count = Math.min(bytes.length, stream.room);
      if (count > 0) {
        stream.sendData(bytes, 0, count, false);
        return count;
      }
      await stream.waitForRoom();
    }
  }

  closeWrite(): Promise<void> {
    this.#end();
    return Promise.resolve();
  }

  close(): void {
    this.#end();
    this.#stream.reset(ERROR.noError, new Fault("closedUnused", "closed by us"));
  }

  reset(): void {
    this.#stream.reset(ERROR.cancel, new Fault("drained"));
  }

  #end(): void {
    if (this.#stream.isOver || this.#stream.isLocalEnd) return;
    this.#stream.sendData(EMPTY, 0, 0, true);
  }
}
