/**
 * Lines and bulk data over one connection; the upstream program and the clients of the tests both
 * speak through it. It never uses `socket.readable`, which would close the socket at the peer's EOF.
 */
import { createHash } from "node:crypto";

const BLOCK_BYTES = 64 * 1024;

export class LineConn {
  readonly socket: Deno.Conn;
  /** Bytes that were received and not yet returned. */
  #pending: Uint8Array = new Uint8Array(0);

  /** Owns `socket` from here on, and `close` closes it. */
  constructor(socket: Deno.Conn) {
    this.socket = socket;
  }

  async say(line: string): Promise<void> {
    await this.send(new TextEncoder().encode(`${line}\n`));
  }

  async send(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) sent += await this.socket.write(bytes.subarray(sent));
  }

  /** The next line without its end; undefined when the peer has finished. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#pending.indexOf(10);
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#pending.subarray(0, end));
        this.#pending = this.#pending.subarray(end + 1);
        return line;
      }
      const more = await this.chunk();
      if (more === undefined) return undefined;
      const joined = new Uint8Array(this.#pending.length + more.length);
      joined.set(this.#pending);
      joined.set(more, this.#pending.length);
      this.#pending = joined;
    }
  }

  /** The next `count` bytes, exactly. Throws if the peer finishes before. */
  async bytes(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    const first = this.#pending.subarray(0, count);
    bytes.set(first);
    this.#pending = this.#pending.subarray(first.length);
    for (let at = first.length; at < count;) {
      const more = await this.socket.read(bytes.subarray(at));
      if (more === null) {
        throw new Error(`the stream ended ${count - at} of ${count} bytes too early`);
      }
      at += more;
    }
    return bytes;
  }

  /** The next bytes, `bytesMax` at most; undefined when the peer has finished. */
  async chunk(bytesMax: number = BLOCK_BYTES): Promise<Uint8Array | undefined> {
    const buffer = new Uint8Array(bytesMax);
    const count = await this.socket.read(buffer);
    return count === null ? undefined : buffer.subarray(0, count);
  }

  /** Everything until the peer finishes, as text. */
  async rest(): Promise<string> {
    let text = new TextDecoder().decode(this.#pending);
    this.#pending = new Uint8Array(0);
    for (let more = await this.chunk(); more !== undefined; more = await this.chunk()) {
      text += new TextDecoder().decode(more);
    }
    return text;
  }

  /** Sends `bytes` bytes of which no two blocks are alike, and returns their checksum. */
  async sendBulk(bytes: number, progress?: (sent: number) => void): Promise<string> {
    const hash = createHash("sha1");
    const block = crypto.getRandomValues(new Uint8Array(BLOCK_BYTES));
    const count = new DataView(block.buffer);
    for (let sent = 0; sent < bytes;) {
      count.setFloat64(0, sent);
      const part = block.subarray(0, Math.min(block.length, bytes - sent));
      hash.update(part);
      await this.send(part);
      sent += part.length;
      progress?.(sent);
    }
    return hash.digest("hex");
  }

  /** Receives exactly `bytes` bytes, at most `atOnce` in one read, and returns their checksum. */
  async receiveBulk(bytes: number, atOnce: number = BLOCK_BYTES): Promise<string> {
    const hash = createHash("sha1");
    const first = this.#pending.subarray(0, bytes);
    this.#pending = this.#pending.subarray(first.length);
    hash.update(first);
    const buffer = new Uint8Array(atOnce);
    for (let left = bytes - first.length; left > 0;) {
      const count = await this.socket.read(buffer.subarray(0, Math.min(atOnce, left)));
      if (count === null) throw new Error(`the stream ended ${left} of ${bytes} bytes too early`);
      hash.update(buffer.subarray(0, count));
      left -= count;
    }
    return hash.digest("hex");
  }

  /** Ends the sending direction; the other one stays open. */
  async closeWrite(): Promise<void> {
    await this.socket.closeWrite();
  }

  close(): void {
    try {
      this.socket.close();
    } catch (error) {
      // Both sides of a test may close; the second time has no effect.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }
}
