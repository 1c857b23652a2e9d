/** The calls on a socket with TLS, in place of the kernel's: what is read and written passes through OpenSSL. */
import type { Bytes } from "../../base/bytes.ts";
import { EAGAIN } from "../../linux/errno.ts";
import type { Kernel } from "../../linux/kernel.ts";
import type { TlsSession } from "../../linux/tls_session.ts";

/** The part of `Kernel` that is used. */
type SocketKernel = Pick<Kernel, "receiveInto" | "shutdownWrite" | "close" | "reset">;

/** Those of one connection. It is freed when the descriptor is closed by it. */
export class TlsCalls {
  readonly #kernel: SocketKernel;
  readonly #session: TlsSession;
  /** The peer is to be told of our end as soon as there is room for that. */
  #isEnding = false;
  /** The handshake has failed: what the peer still sends is of no use. */
  #isRefused = false;

  constructor(kernel: SocketKernel, session: TlsSession) {
    this.#kernel = kernel;
    this.#session = session;
  }

  /** Why the last call failed that has returned neither a count nor `-EAGAIN`; empty if none has. */
  get why(): string {
    return this.#session.why;
  }

  /** The connection has ended before anything was done with it. */
  abandon(): void {
    this.#session.free();
  }

  /** 0 when the handshake is over, `-EAGAIN` while it waits, or another negated error number. */
  handshake(): number {
    const result = this.#session.handshake();
    this.#isRefused = result !== 0 && result !== -EAGAIN;
    return result;
  }

  /** The socket may have room again. */
  goOn(fd: number): void {
    if (this.#isEnding) this.shutdownWrite(fd);
  }

  receiveInto(fd: number, buffer: Bytes): number {
    if (this.#isRefused) return this.#kernel.receiveInto(fd, buffer);
    return this.#session.receive(buffer);
  }

  send(_fd: number, bytes: Bytes, from: number, to: number): number {
    return this.#session.send(from === 0 ? bytes : bytes.subarray(from, to), to - from);
  }

  /** Ends our sending side with close_notify, and with a FIN after that. */
  shutdownWrite(fd: number): void {
    this.#isEnding = this.#session.end() === -EAGAIN;
    if (!this.#isEnding) this.#kernel.shutdownWrite(fd);
  }

  close(fd: number): void {
    this.#session.end();
    this.#session.free();
    this.#kernel.close(fd);
  }

  reset(fd: number): void {
    this.#session.free();
    this.#kernel.reset(fd);
  }
}
