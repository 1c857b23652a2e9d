/**
 * A client of TLS that can do what no honest one does: its records are made in memory, so that a test can hold them
 * back, cut them, mix them with others, and leave those of the other side unread.
 */
import { EAGAIN } from "../../src/linux/errno.ts";
import { TlsClientContext } from "../../src/linux/tls_client.ts";
import type { TlsMemorySession } from "../../src/linux/tls_memory_session.ts";

const ROOM_BYTES = 64 * 1024;

export class TlsAttacker implements Disposable {
  readonly conn: Deno.TcpConn;
  readonly session: TlsMemorySession;
  readonly #context: TlsClientContext;
  readonly #room = new Uint8Array(ROOM_BYTES);

  /** Connects, and sends nothing yet. `cert` is trusted. */
  static async connect(port: number, cert: string): Promise<TlsAttacker> {
    return new TlsAttacker(await Deno.connect({ hostname: "127.0.0.1", port }), port, cert);
  }

  private constructor(conn: Deno.TcpConn, port: number, cert: string) {
    this.conn = conn;
    this.#context = new TlsClientContext({ caCerts: [cert], trustsSystem: false });
    this.session = this.#context.inMemory({ hostname: "localhost", port, isIp: false });
  }

  /** Makes the handshake; each message is sent as `send` does it. Throws if the other side refuses. */
  async handshake(send = (bytes: Uint8Array) => this.sendRaw(bytes)): Promise<void> {
    for (;;) {
      const result = this.session.handshake();
      await send(this.records());
      if (result === 0) return;
      if (result !== -EAGAIN) throw new Error(this.session.why);
      await this.#hear();
    }
  }

  /** The records that are to be sent: what was said, or the next message of the handshake. */
  records(text = ""): Uint8Array<ArrayBuffer> {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > 0) this.session.send(bytes, bytes.length);
    const all: number[] = [];
    for (;;) {
      const count = this.session.drain(this.#room);
      if (count === 0) return new Uint8Array(all);
      all.push(...this.#room.subarray(0, count));
    }
  }

  async sendRaw(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
  }

  /** What the other side says next, in text; undefined at the end of the connection, in whichever way that comes. */
  async hear(): Promise<string | undefined> {
    const room = new Uint8Array(ROOM_BYTES);
    for (;;) {
      const count = this.session.receive(room);
      if (count > 0) return new TextDecoder().decode(room.subarray(0, count));
      if (count !== -EAGAIN || !await this.#hear()) return undefined;
    }
  }

  /** Waits until the other side has ended the connection, and drops what comes before. */
  async isEnded(): Promise<void> {
    while (await this.#hear());
  }

  async #hear(): Promise<boolean> {
    const room = new Uint8Array(ROOM_BYTES);
    const count = await this.conn.read(room).catch(() => null);
    if (count === null) {
      this.session.feedEnd();
      return false;
    }
    this.session.feed(room, count);
    return true;
  }

  [Symbol.dispose](): void {
    this.session.free();
    this.#context[Symbol.dispose]();
    try {
      this.conn.close();
    } catch {
      // A write has failed, and that has closed it.
    }
  }
}
