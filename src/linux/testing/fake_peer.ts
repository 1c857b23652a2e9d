/**
 * The other end of a socket of the fake kernel, and what lies between the two: buffers with a maximum,
 * ends, resets. The test acts through it; the kernel is told of each change.
 */
import { ECONNREFUSED, ECONNRESET } from "../errno.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

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

  look(): Bytes {
    return this.#bytes;
  }
}

/** Is told that something happened to a socket. */
export interface Changes {
  changed(fd: number): void;
}

/** The other end of one of our sockets, in the hands of the test. */
export class Peer {
  readonly #kernel: Changes;
  /** Ours to read, and what we sent. */
  readonly toUs: Queue;
  readonly fromUs: Queue;
  hasEnded = false;
  hasReset = false;
  /** What our side did. */
  weEnded = false;
  weReset = false;
  weClosed = false;
  /** A send of ours was refused since there was room last. */
  isAwaited = false;
  /** The connection is made. */
  isUp = true;
  /** An error that our side has not met yet. */
  error = 0;
  fd = -1;

  constructor(kernel: Changes, bufferBytes: number, readonly address: string) {
    this.#kernel = kernel;
    this.toUs = new Queue(bufferBytes);
    this.fromUs = new Queue(bufferBytes);
  }

  /** True when nothing can come from it or go to it any more. */
  get isGone(): boolean {
    return this.weReset || this.hasReset || (this.weClosed && this.weEnded);
  }

  /** Sends what fits; how much that was. */
  send(bytes: Uint8Array): number {
    const count = this.weClosed ? 0 : Math.min(bytes.length, this.toUs.room);
    if (count === 0 || this.hasEnded || this.hasReset) return 0;
    this.toUs.put(bytes.subarray(0, count));
    this.#kernel.changed(this.fd);
    return count;
  }

  end(): void {
    this.hasEnded = true;
    this.#kernel.changed(this.fd);
  }

  reset(): void {
    this.hasReset = true;
    this.error = ECONNRESET;
    this.#kernel.changed(this.fd);
  }

  read(max = Infinity): Bytes {
    const bytes = this.fromUs.take(Math.min(max, this.fromUs.length));
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
