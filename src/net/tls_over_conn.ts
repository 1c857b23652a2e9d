/**
 * TLS of OpenSSL over any connection, whose bytes pass through memory. It costs some copies and promises, and is for
 * connections that carry little, on a thread that has no loop of ours: those of checks.
 */
import type { Bytes } from "../base/bytes.ts";
import { endAfter, NEVER_ABORTED } from "../base/deadline.ts";
import { EAGAIN } from "../linux/errno.ts";
import type { TlsMemorySession } from "../linux/tls_memory_session.ts";
import type { Conn, Dial } from "./conn.ts";
import { dialer } from "./deno/transport.ts";
import { handshakeFault } from "./linux/secure.ts";
import { type TlsContexts, tlsPeer } from "./tls_contexts.ts";
import { TlsFailure } from "./tls_failure.ts";
import type { DialOptions } from "./transport.ts";

const BUFFER_BYTES = 16 * 1024;

/** One connection. It owns what it was made of. */
export class TlsOverConn implements Conn {
  readonly #conn: Conn;
  readonly #session: TlsMemorySession;
  /** Resolves when all that was to be sent has been. */
  #sent: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(conn: Conn, session: TlsMemorySession) {
    this.#conn = conn;
    this.#session = session;
  }

  /** Resolves when the handshake is over; rejects with an Error that says why it failed. */
  async handshake(): Promise<void> {
    for (;;) {
      const result = this.#session.handshake();
      // Also after a failure: the peer is told of it.
      await this.#flush();
      if (result === 0) return;
      if (result !== -EAGAIN) throw new Error(this.#session.why);
      await this.#fill();
    }
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      const count = this.#session.receive(buffer as Bytes);
      await this.#flush();
      if (count > 0) return count;
      if (count === 0) return null;
      if (count !== -EAGAIN) throw new TlsFailure(this.#session.why);
      await this.#fill();
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    const count = this.#session.send(bytes as Bytes, bytes.length);
    await this.#flush();
    if (count < 0) throw new TlsFailure(this.#session.why);
    return count;
  }

  async closeWrite(): Promise<void> {
    this.#session.end();
    await this.#flush();
    await this.#conn.closeWrite();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#session.end();
    const bytes = this.#drained();
    this.#session.free();
    const close = () => this.#conn.close();
    if (bytes.length === 0) return close();
    // The peer is told that this is the end. These few bytes have room wherever the peer has read what it asked for.
    this.#conn.write(bytes).then(close, close);
  }

  reset(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#session.free();
    this.#conn.reset();
  }

  async #fill(): Promise<void> {
    const bytes = new Uint8Array(BUFFER_BYTES);
    const count = await this.#conn.read(bytes);
    if (count === null) this.#session.feedEnd();
    else this.#session.feed(bytes.subarray(0, count));
  }

  /** Sends what OpenSSL has for the peer, after all that is being sent already. */
  #flush(): Promise<void> {
    const bytes = this.#drained();
    if (bytes.length === 0) return this.#sent;
    return this.#sent = this.#sent.then(async () => {
      for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
    });
  }

  #drained(): Bytes {
    const parts: Bytes[] = [];
    for (;;) {
      const room = new Uint8Array(BUFFER_BYTES);
      const count = this.#session.drain(room);
      if (count === 0) break;
      parts.push(room.subarray(0, count));
    }
    if (parts.length < 2) return parts[0] ?? new Uint8Array(0);
    return new Uint8Array(parts.flatMap((part) => [...part]));
  }
}

/** Makes the function that opens connections to one upstream by Deno's sockets, and TLS on them by OpenSSL. */
export function opensslDialer(options: DialOptions, contexts: TlsContexts): Dial {
  const { clock, connectMs, tls, ...plain } = options;
  const dial = dialer({ ...plain, clock, connectMs });
  if (tls === undefined) return dial;
  const peer = tlsPeer(options);
  return async (signal = NEVER_ABORTED, onConnecting) => {
    const startedAt = clock.now();
    const conn = await dial(signal, onConnecting);
    const secured = new TlsOverConn(conn, contexts.of(tls).inMemory(peer));
    let end: "late" | "aborted" | undefined;
    const leftMs = Math.max(0, connectMs - (clock.now() - startedAt));
    const cancel = endAfter(signal, leftMs, clock, (cause) => {
      end = cause;
      secured.reset();
    });
    try {
      await secured.handshake();
      return secured;
    } catch (error) {
      secured.close();
      throw handshakeFault(error, end);
    } finally {
      cancel();
    }
  };
}
