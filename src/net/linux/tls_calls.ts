/** The calls on a socket with TLS, in place of the kernel's: what is read and written passes through OpenSSL. */
import type { Bytes } from "../../base/bytes.ts";
import { EAGAIN, EINTR } from "../../linux/errno.ts";
import type { Kernel } from "../../linux/kernel.ts";
import type { TlsSession } from "../../linux/tls_session.ts";

/** The part of `Kernel` that is used. */
type SocketKernel = Pick<Kernel, "isOver" | "receiveInto" | "shutdownWrite" | "close" | "reset">;

/** Takes what comes from a socket, before OpenSSL gets it; used in one call at a time. */
const RECEIVED = new Uint8Array(new ArrayBuffer(32 * 1024));
/** In one call no more is taken than this many times the room of `RECEIVED`. */
const TAKES_MAX = 2;

/** Those of one connection. It is freed when the descriptor is closed by it. */
export class TlsCalls {
  readonly #kernel: SocketKernel;
  readonly #session: TlsSession;
  /** The peer is to be told of our end as soon as there is room for that. */
  #isEnding = false;
  /** The handshake has failed: what the peer still sends is of no use. */
  #isRefused = false;
  /** The socket may have bytes for us. */
  #mayHold = true;
  /** The peer has ended or failed: a short read does not mean that the socket is empty. */
  #thorough = false;

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

  /** True if a call has returned `-EAGAIN` although the socket may have more: it is to be repeated later. */
  get mayHold(): boolean {
    return this.#mayHold && this.#session.isDrained;
  }

  /** 0 when the handshake is over, `-EAGAIN` while it waits, or another negated error number. */
  handshake(fd: number): number {
    const result = this.#step(fd);
    this.#isRefused = result !== 0 && result !== -EAGAIN;
    return result;
  }

  /** The socket was reported: it may have bytes or room again. `isLast`: the peer has ended, or the connection failed. */
  ready(fd: number, isLast: boolean): void {
    this.#mayHold = true;
    if (isLast) this.#thorough = true;
    if (this.#isEnding) this.shutdownWrite(fd);
  }

  receiveInto(fd: number, buffer: Bytes): number {
    if (this.#isRefused) return this.#kernel.receiveInto(fd, buffer);
    return this.#step(fd, buffer);
  }

  /** Reads into `buffer`, or without one makes a step of the handshake; takes what that needs from the socket. */
  #step(fd: number, buffer?: Bytes): number {
    this.#mustOwn();
    const session = this.#session;
    for (let takes = 0;; takes++) {
      if (session.isDrained) {
        if (!this.#mayHold || takes > TAKES_MAX) return -EAGAIN;
        const taken = this.#take(fd);
        if (taken < 0) return taken;
      }
      const result = buffer === undefined ? session.handshake() : session.receive(buffer);
      if (result !== -EAGAIN || !session.isDrained) return result;
    }
  }

  /** Feeds OpenSSL once. Returns 0, or a negated error number. */
  #take(fd: number): number {
    let count = this.#kernel.receiveInto(fd, RECEIVED);
    while (count === -EINTR) count = this.#kernel.receiveInto(fd, RECEIVED);
    // A short read has emptied the socket, and what comes later is reported (epoll(7)).
    const isShort = count < RECEIVED.length;
    if (count <= 0 || (isShort && !this.#thorough)) this.#mayHold = false;
    if (count < 0) return count;
    if (count === 0) this.#session.feedEnd();
    else this.#session.feed(RECEIVED, count);
    return 0;
  }

  send(_fd: number, bytes: Bytes, from: number, to: number): number {
    this.#mustOwn();
    return this.#session.send(from === 0 ? bytes : bytes.subarray(from, to), to - from);
  }

  /** Ends our sending side with close_notify, and with a FIN after that. */
  shutdownWrite(fd: number): void {
    if (this.#kernel.isOver === true) return;
    this.#isEnding = this.#session.end() === -EAGAIN;
    if (!this.#isEnding) this.#kernel.shutdownWrite(fd);
  }

  close(fd: number): void {
    if (this.#kernel.isOver !== true) this.#session.end();
    this.#session.free();
    this.#kernel.close(fd);
  }

  reset(fd: number): void {
    this.#session.free();
    this.#kernel.reset(fd);
  }

  /** OpenSSL writes to the descriptor by itself, so the kernel's own guard would not see it. */
  #mustOwn(): void {
    if (this.#kernel.isOver === true) throw new Error("this thread was replaced");
  }
}
