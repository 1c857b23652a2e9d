/**
 * A socket of the kernel as `Conn`. Half of the cost of a request on Deno's sockets arises between the kernel
 * and our code; here a read or write is one system call, made where the bytes are needed.
 *
 * A socket is read or written only after epoll has reported it ready, until a call returns EAGAIN. One
 * connection reads a few times per tick of the loop, so that the others get their share.
 *
 * With TLS (`secure`) its calls are those of OpenSSL. Each of them may have to wait for either direction, so that
 * every report lets both be tried again.
 */
import type { Bytes } from "../../base/bytes.ts";
import { EAGAIN, EINTR, errnoWords } from "../../linux/errno.ts";
import type { EmbeddedLoop } from "./embedded_loop.ts";
import { FAILED, HUNG_UP, PEER_ENDED, READABLE, URGENT, WRITABLE } from "../../linux/kernel.ts";
import type { Tick, Watcher } from "../../linux/loop.ts";
import type { Kernel } from "../../linux/kernel.ts";
import type { Reader, TryConn } from "../conn.ts";
import { TlsFailure } from "../tls_failure.ts";
import type { TlsCalls } from "./tls_calls.ts";

const COMES = READABLE | URGENT | PEER_ENDED | HUNG_UP | FAILED;
const LAST = URGENT | PEER_ENDED | HUNG_UP | FAILED;
const GOES = WRITABLE | HUNG_UP | FAILED;

/** Reads of one connection in one tick of the loop. */
const READS_MAX = 4;

/** Made once: a new error would cost more than everything else in closing. */
const CLOSED = new Error("closed by us");

/** An accepted connection is watched in this tick after it was accepted, if it is still open. */
const UNWATCHED_TICKS = 3;

/** A write that waits for room in the socket's send buffer. */
interface Writing {
  readonly bytes: Bytes;
  readonly resolve: (count: number) => void;
  readonly reject: (error: unknown) => void;
}

/** A connected stream socket of the kernel: TCP or unix. */
export class LinuxConn implements TryConn, Watcher, Tick {
  queued = false;
  readonly #host: EmbeddedLoop;
  #fd: number;
  #readable = false;
  #writable = true;
  /** The peer has ended or failed: a short read does not mean that the socket is empty. */
  #thorough = false;
  #reader: Reader | undefined;
  #writing: Writing | undefined;
  /** The tick of the loop in which it last read, and how often it did. */
  #round = -1;
  #reads = 0;

  /** Another process may go on with the socket: nothing is read. */
  #isFrozen = false;
  /** Set while `fd` is not watched: called if it cannot be, with a negated error number. */
  #onUnwatchable: ((result: number) => void) | undefined;
  /** Ticks of the loop that it has been unwatched for. */
  #unwatchedTicks = 0;

  /** The calls on the socket: the kernel's, or those of TLS on it. */
  #calls: Pick<Kernel, "receiveInto" | "send" | "shutdownWrite" | "close" | "reset">;
  #tls: TlsCalls | undefined;
  /** Settled when the TLS handshake is over; undefined if none is under way. */
  #handshake: PromiseWithResolvers<void> | undefined;

  /**
   * Owns `fd`. The caller registers this object as the watcher of `fd`; or it gives `onUnwatchable`, and `fd` is
   * watched as soon as there is something to wait for on it, or a little later. A client that sends its request
   * at once, gets its response and is gone costs no epoll_ctl(2) then.
   */
  constructor(host: EmbeddedLoop, fd: number, onUnwatchable?: (result: number) => void) {
    this.#host = host;
    this.#fd = fd;
    this.#calls = host.loop.kernel;
    if (onUnwatchable === undefined) return;
    this.#onUnwatchable = onUnwatchable;
    this.#readable = true;
    host.again(this);
  }

  ready(_fd: number, flags: number): void {
    if ((flags & COMES) !== 0) this.#readable = true;
    if ((flags & LAST) !== 0) this.#thorough = true;
    if ((flags & GOES) !== 0) this.#writable = true;
    if (this.#tls !== undefined) this.#readyForTls(this.#tls, (flags & LAST) !== 0);
    if (this.#writing !== undefined && this.#writable) this.#writeOn(this.#writing);
    if (this.#handshake === undefined) this.run();
    else this.#host.again(this);
  }

  /** Called by the loop, which a bug in one connection must not end. */
  run(): void {
    try {
      if (this.#onUnwatchable !== undefined) this.#watchSoon();
      if (this.#handshake === undefined) this.#readIfAny();
      else this.#shakeHands(this.#handshake);
    } catch (error) {
      // The handler of uncaught errors logs it.
      reportError(error);
      this.reset();
    }
  }

  freeze(): number {
    const isBusy = this.#writing !== undefined || this.#tls !== undefined;
    if (isBusy || this.#fd === -1) return -1;
    this.#isFrozen = true;
    if (this.#onUnwatchable === undefined) this.#host.loop.unwatch(this.#fd);
    return this.#fd;
  }

  thaw(): void {
    if (!this.#isFrozen || this.#fd === -1) return;
    this.#isFrozen = false;
    // What came meanwhile is reported when it is watched again.
    this.#onUnwatchable ??= () => {};
    this.#watch();
  }

  /** Not in the tick in which it was accepted, nor in the next, in which the response may be here. */
  #watchSoon(): void {
    if (this.#fd === -1 || this.#isFrozen) return;
    if (++this.#unwatchedTicks < UNWATCHED_TICKS) this.#host.again(this);
    else this.#watch();
  }

  /** From here on epoll reports what happens to it, and at first what has happened already. */
  #watch(): void {
    const onUnwatchable = this.#onUnwatchable;
    if (onUnwatchable === undefined) return;
    this.#onUnwatchable = undefined;
    const result = this.#host.loop.watch(this.#fd, this);
    if (result >= 0) return;
    this.close();
    onUnwatchable(result);
  }

  /** The descriptor, for what is to be made on it. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Begins TLS: all that is read and written from here on goes through `tls`, which it owns. Resolves when the
   * handshake is over. If that fails it rejects with an Error that says why; the peer has been told, and what it
   * still sends can be read, to be dropped, until the caller closes the connection.
   */
  secure(tls: TlsCalls): Promise<void> {
    if (this.#fd === -1) {
      tls.abandon();
      return Promise.reject(CLOSED);
    }
    this.#tls = this.#calls = tls;
    // Its reads return single records, so that a short one does not mean that the socket is empty.
    this.#thorough = true;
    this.#handshake = Promise.withResolvers();
    // Not at once: a handshake takes as long as dozens of requests, and those who have made theirs come first.
    this.#host.again(this);
    return this.#handshake.promise;
  }

  #readyForTls(tls: TlsCalls, isLast: boolean): void {
    this.#readable = this.#writable = true;
    tls.ready(this.#fd, isLast);
  }

  #shakeHands(handshake: PromiseWithResolvers<void>): void {
    if (this.#fd === -1) return;
    const tls = this.#tls!;
    const result = tls.handshake(this.#fd);
    if (result === -EAGAIN && tls.mayHold) return this.#host.again(this);
    if (result === -EAGAIN) return this.#watch();
    this.#handshake = undefined;
    if (result === 0) {
      this.#readable = this.#writable = true;
      return handshake.resolve();
    }
    handshake.reject(this.#errorOf(result));
  }

  #readIfAny(): void {
    if (this.#reader === undefined || !this.#readable || this.#isFrozen) return;
    if (this.#mayRead()) this.#readOn(this.#reader);
    else this.#host.again(this);
  }

  readWith(reader: Reader): void {
    if (this.#fd === -1) return reader.failed(CLOSED);
    this.#reader = reader;
    this.#readIfAny();
  }

  look(isExact: boolean): void {
    if (this.#fd === -1) return;
    const isWatched = this.#onUnwatchable === undefined;
    if (!isExact && isWatched && !this.#readable && !this.#host.loop.mayHaveNews(this.#fd)) return;
    this.#readable = true;
    this.#readIfAny();
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return new Promise((arrived, failed) => this.readWith({ room: () => buffer, arrived, failed }));
  }

  tryWrite(bytes: Uint8Array, length: number): number {
    if (this.#fd === -1) throw CLOSED;
    if (!this.#writable) return 0;
    let count = this.#calls.send(this.#fd, bytes as Bytes, 0, length);
    while (count === -EINTR) count = this.#calls.send(this.#fd, bytes as Bytes, 0, length);
    if (count >= 0) return count;
    if (count !== -EAGAIN) throw this.#errorOf(count);
    this.#writable = false;
    this.#watch();
    return 0;
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#writeOn({ bytes: bytes as Bytes, resolve, reject })
    );
  }

  closeWrite(): Promise<void> {
    if (this.#fd !== -1) this.#calls.shutdownWrite(this.#fd);
    return Promise.resolve();
  }

  close(): void {
    this.#end(false);
  }

  reset(): void {
    this.#end(true);
  }

  /** True for the first few calls in each tick of the loop. */
  #mayRead(): boolean {
    const { round } = this.#host.loop;
    if (this.#round !== round) {
      this.#round = round;
      this.#reads = 0;
    }
    return ++this.#reads <= READS_MAX;
  }

  #readOn(reader: Reader): void {
    const room = reader.room() as Bytes;
    let count = this.#calls.receiveInto(this.#fd, room);
    while (count === -EINTR) count = this.#calls.receiveInto(this.#fd, room);
    if (count === -EAGAIN) {
      if (this.#tls?.mayHold === true) return this.#host.again(this);
      this.#readable = false;
      return this.#watch();
    }
    this.#reader = undefined;
    if (count < 0) return reader.failed(this.#errorOf(count));
    // A short read has emptied the socket, and what comes later is reported (epoll(7)).
    if (count < room.length && !this.#thorough) this.#readable = false;
    reader.arrived(count === 0 ? null : count);
  }

  /** Why a call has failed, a negated error number. */
  #errorOf(result: number): Error {
    const why = this.#tls?.why ?? "";
    return why === "" ? new Error(errnoWords(result)) : new TlsFailure(why);
  }

  #writeOn(writing: Writing): void {
    this.#writing = undefined;
    try {
      const count = this.tryWrite(writing.bytes, writing.bytes.length);
      if (count > 0) writing.resolve(count);
      else this.#writing = writing;
    } catch (error) {
      writing.reject(error);
    }
  }

  #end(reset: boolean): void {
    if (this.#fd === -1) return;
    this.#host.loop.forget(this.#fd);
    if (reset) this.#calls.reset(this.#fd);
    else this.#calls.close(this.#fd);
    this.#fd = -1;
    this.#handshake?.reject(CLOSED);
    this.#handshake = undefined;
    const [reader, writing] = [this.#reader, this.#writing];
    this.#reader = this.#writing = undefined;
    writing?.reject(CLOSED);
    reader?.failed(CLOSED);
  }
}
