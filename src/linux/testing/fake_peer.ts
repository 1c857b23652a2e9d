/**
 * The other end of a socket of the fake kernel, and the network between the two: buffers with a maximum,
 * ends, resets, an urgent byte. The test acts through it, and the kernel is notified of each change.
 *
 * What we send is in two places, as on a real kernel: the first half of `fromUs` has reached the peer's
 * own buffer, where the peer can read it whatever we do; the rest is still in our send queue, and is lost
 * when we reset the connection or the peer answers with a reset.
 */
import type { Bytes } from "../../base/bytes.ts";
import { ECONNREFUSED, ECONNRESET, EPIPE } from "../errno.ts";

/** How an upstream takes a connect; `itself`: nobody listens, and our socket got the port that it dials. */
export type FakeAnswer = "accept" | "refuse" | "silence" | "itself" | number;

/** Bytes in order, with a maximum. */
export class Queue {
  #bytes: Bytes = new Uint8Array(0);

  constructor(readonly max: number) {}

  get length(): number {
    return this.#bytes.length;
  }

  get room(): number {
    return this.max - this.length;
  }

  put(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.length);
    this.#bytes = joined;
  }

  take(count: number): Bytes {
    const taken = this.#bytes.slice(0, count);
    this.#bytes = this.#bytes.slice(count);
    return taken;
  }

  peek(): Bytes {
    return this.#bytes;
  }

  /** Drops all but the first `count` bytes. */
  truncate(count: number): void {
    this.#bytes = this.#bytes.slice(0, count);
  }
}

/** Is notified of each change of a socket. */
export interface ChangeListener {
  changed(fd: number): void;
}

/** The other end of one of our sockets, which the test controls. */
export class Peer {
  readonly #kernel: ChangeListener;
  readonly #bufferMax: number;
  /** The bytes that we can read, and those that we sent. */
  readonly toUs: Queue;
  readonly fromUs: Queue;
  hasEnded = false;
  hasReset = false;
  /** It closed its socket: from now on it answers our bytes with a reset. */
  hasClosed = false;
  /** The position in `toUs` of an urgent byte that we have not read past. */
  urgentAt: number | undefined;
  /** Bytes that it read. */
  readCount = 0;
  /** What our side has done. */
  weEnded = false;
  weReset = false;
  weClosed = false;
  /** A send of ours has found no room, so we are notified when there is some. */
  isAwaited = false;
  /** There is no other end: our socket is connected to itself. */
  isOurselves = false;
  /** The connection is made. */
  isUp = true;
  /** An error that was not returned to our side yet. */
  error = 0;
  fd = -1;

  constructor(kernel: ChangeListener, bufferBytes: number, readonly address: string) {
    this.#kernel = kernel;
    this.toUs = new Queue(bufferBytes);
    this.fromUs = new Queue(bufferBytes);
    this.#bufferMax = bufferBytes >> 1;
  }

  /** True when no byte can be sent or received any more. */
  get isGone(): boolean {
    return this.weReset || this.hasReset || (this.weClosed && this.weEnded);
  }

  /** Sends what fits; returns the number of bytes. */
  send(bytes: Uint8Array): number {
    // Our socket is closed: we answer with a reset, and what we had not sent yet is lost.
    if (this.weClosed && !this.hasEnded && bytes.length > 0) this.resetByUs();
    const count = this.weClosed ? 0 : Math.min(bytes.length, this.toUs.room);
    if (count === 0 || this.hasEnded || this.hasReset) return 0;
    this.toUs.put(bytes.subarray(0, count));
    this.#kernel.changed(this.fd);
    return count;
  }

  /** Sends a byte out of band, if there is room; only one can be on its way. */
  sendUrgent(): void {
    if (this.urgentAt !== undefined || this.toUs.room === 0 || this.weClosed) return;
    if (this.hasEnded || this.hasReset) return;
    this.urgentAt = this.toUs.length;
    this.toUs.put(new Uint8Array([0]));
    this.#kernel.changed(this.fd);
  }

  /** The number of bytes that one read can return: it stops before an urgent byte. */
  get readable(): number {
    return this.urgentAt ?? this.toUs.length;
  }

  /** Reads as recv(2) does, past an urgent byte that is next. */
  takeToUs(most: number): Bytes {
    if (this.urgentAt === 0) {
      this.toUs.take(1);
      this.urgentAt = undefined;
    }
    const bytes = this.toUs.take(Math.min(most, this.readable));
    if (this.urgentAt !== undefined) this.urgentAt -= bytes.length;
    return bytes;
  }

  /** The number of bytes that we sent and that are still in our send queue. */
  get unacked(): number {
    return Math.max(0, this.fromUs.length - this.#bufferMax);
  }

  /** The number of bytes that we sent and that reached its buffer, including those that it read. */
  get acked(): number {
    return this.readCount + this.fromUs.length - this.unacked;
  }

  /** We reset the connection: what did not reach its buffer is lost. */
  resetByUs(): void {
    this.weReset = true;
    this.fromUs.truncate(this.#bufferMax);
  }

  /** We sent to a peer that has closed its socket, so it answers with a reset. */
  answerWithReset(): void {
    this.hasReset = true;
    this.error = this.hasEnded ? EPIPE : ECONNRESET;
    this.fromUs.truncate(0);
    this.#kernel.changed(this.fd);
  }

  /** Closes its socket: an end, as long as we send nothing more. Unread bytes make it a reset (tcp(7)). */
  close(): void {
    if (this.fromUs.length > 0) return this.reset();
    this.hasClosed = true;
    this.end();
  }

  end(): void {
    this.hasEnded = true;
    this.#kernel.changed(this.fd);
  }

  reset(): void {
    this.hasReset = true;
    this.error = ECONNRESET;
    this.fromUs.truncate(0);
    this.#kernel.changed(this.fd);
  }

  read(max = Infinity): Bytes {
    const bytes = this.fromUs.take(Math.min(max, this.fromUs.length));
    this.readCount += bytes.length;
    if (bytes.length > 0 && this.isAwaited) {
      this.isAwaited = false;
      this.#kernel.changed(this.fd);
    }
    return bytes;
  }

  /** Answers a connect of ours that is under way. */
  accept(): void {
    this.isUp = true;
    this.#kernel.changed(this.fd);
  }

  refuse(errno = ECONNREFUSED): void {
    this.error = errno;
    this.hasReset = true;
    this.#kernel.changed(this.fd);
  }
}
