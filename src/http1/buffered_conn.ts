/**
 * One `Conn` with its read buffer, its deadlines and its end. Everything that goes wrong here goes
 * through `fail`, once: the first fault is the one that everybody waiting gets.
 *
 * While an exchange runs, the bytes of its head must stay where they are (`hold`): further reads then
 * go to another buffer. Between exchanges a connection owns one small buffer, with a read pending on it;
 * that read is how a peer that left is noticed, and it is the next message's first read: it costs nothing.
 */
import { Fault, type FaultName } from "../base/fault.ts";
import type { Conn, Reader, TryConn } from "../net/conn.ts";
import type { Deadlines, Timed } from "../net/deadlines.ts";
import type { MaybeDone } from "./maybe_done.ts";

/** First reads: a head and often the whole message. */
const SMALL_BYTES = 8 * 1024;
/** Reads of a body. */
export const LARGE_BYTES = 64 * 1024;
const SMALL_KEPT_MAX = 1024;
const LARGE_KEPT_MAX = 64;

const smallFree: Uint8Array<ArrayBuffer>[] = [];
const largeFree: Uint8Array<ArrayBuffer>[] = [];

function takeBuffer(large: boolean): Uint8Array<ArrayBuffer> {
  return large
    ? largeFree.pop() ?? new Uint8Array(LARGE_BYTES)
    : smallFree.pop() ?? new Uint8Array(SMALL_BYTES);
}

function giveBuffer(buffer: Uint8Array<ArrayBuffer>): void {
  if (buffer.length === SMALL_BYTES && smallFree.length < SMALL_KEPT_MAX) smallFree.push(buffer);
  if (buffer.length === LARGE_BYTES && largeFree.length < LARGE_KEPT_MAX) largeFree.push(buffer);
}

/** Which faults the troubles of this peer are. */
export interface WireFaults {
  readonly reset: FaultName;
  readonly slowWrite: FaultName;
}

export interface WireOptions {
  readonly deadlines: Deadlines;
  /** Without a byte taken by the peer, in milliseconds. */
  readonly writeMs: number;
  readonly faults: WireFaults;
}

const NONE = new Uint8Array(0);
/** Made once: an error is dear, and most connections end well. */
const CLOSED = new Fault("closedUnused", "closed by us");

export class BufferedConn implements Conn, Reader, Timed {
  /** Something that ends with it. */
  companion: { close(): void } | undefined;
  place = -1;
  readonly #conn: Conn & Partial<TryConn>;
  readonly deadlines: Deadlines;
  readonly #options: WireOptions;
  /** Bytes `start` to `end` have been read and not been used. */
  bytes: Uint8Array<ArrayBuffer> = takeBuffer(false);
  start = 0;
  end = 0;
  /** True once the peer has closed its sending side. */
  atEnd = false;
  /** Why it ended, if it ended badly. */
  fault: Fault | undefined;
  /** Why the last write failed. */
  writeFault: Fault | undefined;
  /** True once bytes were handed to the system, until someone sets it back. */
  wrote = false;
  /** Bytes read so far. */
  received = 0;
  /** Called once, when the connection failed. One slot, for whoever works on it now. */
  onFail: ((fault: Fault) => void) | undefined;
  /** Called when the read deadline passed; by default that is a failure. */
  onLate: ((fault: Fault) => void) | undefined;
  /** Called after each read that brought bytes or, with false, the peer's end. One slot, as `onFail`. */
  onArrival: ((more: boolean) => void) | undefined;
  #held: Uint8Array<ArrayBuffer> | undefined;
  #isReading = false;
  /** Who waits for the read that is pending, if anybody does. */
  #waiter: PromiseWithResolvers<boolean> | undefined;
  #readBy = Infinity;
  #readFault: FaultName = "idleTimeout";
  #writeBy = Infinity;
  #quietMs = 0;
  #quietBy = Infinity;
  #quietFault: FaultName = "idleTimeout";
  #closed = false;

  /** Owns `conn` from here. */
  constructor(conn: Conn, options: WireOptions) {
    this.#conn = conn;
    this.#options = options;
    this.deadlines = options.deadlines;
    this.deadlines.add(this);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sets when the pending or next read is late, and what that is called; Infinity takes it back. */
  readBy(moment: number, fault: FaultName): void {
    this.#readBy = moment;
    this.#readFault = fault;
  }

  /** From now on ends the connection after `ms` in which no byte moved either way; 0 takes it back. */
  endWhenQuiet(ms: number, fault: FaultName): void {
    this.#quietMs = ms;
    this.#quietBy = this.deadlines.in(ms);
    this.#quietFault = fault;
  }

  tick(now: number): void {
    if (now >= this.#readBy) {
      this.#readBy = Infinity;
      const fault = new Fault(this.#readFault);
      if (this.onLate !== undefined) this.onLate(fault);
      else this.fail(fault);
    } else if (now >= this.#writeBy) this.fail(new Fault(this.#options.faults.slowWrite));
    else if (now >= this.#quietBy) this.fail(new Fault(this.#quietFault));
  }

  /** Keeps the bytes of the head in place until `unhold`. */
  hold(): void {
    this.#held = this.bytes;
  }

  unhold(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined && held !== this.bytes) giveBuffer(held);
  }

  /**
   * Reads more behind what is there; false at the peer's end. A second call joins the first. `large`
   * says that a body is read. Rejects with a Fault.
   */
  fill(large = false): Promise<boolean> {
    if (this.#waiter !== undefined) return this.#waiter.promise;
    this.watch(large);
    if (this.#isReading) return (this.#waiter = Promise.withResolvers<boolean>()).promise;
    return this.fault === undefined ? Promise.resolve(!this.atEnd) : Promise.reject(this.fault);
  }

  /** Has a read pending, as `fill`; what comes of it is told by `onArrival` and `onFail`. */
  watch(large = false): void {
    if (this.#isReading || this.fault !== undefined || this.atEnd) return;
    this.#makeRoom(large);
    const room = this.end === 0 ? this.bytes : this.bytes.subarray(this.end);
    const conn = this.#conn;
    this.#isReading = true;
    if (conn.readWith !== undefined) conn.readWith(room, this);
    else conn.read(room).then((count) => this.arrived(count), (error) => this.failed(error));
  }

  /** True if `look` finds bytes that were not reported yet. */
  get canLook(): boolean {
    return this.#conn.look !== undefined;
  }

  /** True if unread bytes are here; where that can be done at once, after a last question to the system. */
  look(): boolean {
    if (this.start === this.end && this.#isReading) this.#conn.look?.();
    return this.start < this.end;
  }

  arrived(count: number | null): void {
    this.#isReading = false;
    if (count === null) this.atEnd = true;
    else {
      this.end += count;
      this.received += count;
      if (this.#quietMs > 0) this.#quietBy = this.deadlines.in(this.#quietMs);
    }
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve(count !== null);
    this.onArrival?.(count !== null);
  }

  failed(error: unknown): void {
    this.#isReading = false;
    const fault = this.fault ??
      this.fail(new Fault(this.#options.faults.reset, undefined, { cause: error }));
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.reject(fault);
  }

  #makeRoom(large: boolean): void {
    const bytes = this.bytes;
    if (this.start === this.end) {
      this.start = this.end = 0;
      if (bytes === this.#held) this.bytes = takeBuffer(large);
      else if (large !== (bytes.length === LARGE_BYTES)) {
        giveBuffer(bytes);
        this.bytes = takeBuffer(large);
      }
      return;
    }
    if (this.end < bytes.length) return;
    const rest = bytes.subarray(this.start, this.end);
    if (bytes === this.#held || this.start === 0) {
      this.bytes = rest.length < SMALL_BYTES ? takeBuffer(large) : new Uint8Array(rest.length * 2);
      this.bytes.set(rest);
      if (bytes !== this.#held) giveBuffer(bytes);
    } else bytes.copyWithin(0, this.start, this.end);
    this.start = 0;
    this.end = rest.length;
  }

  /**
   * Writes all of the first `length` bytes. One at a time. Undefined if all of it went at once. Rejects with
   * a Fault, and leaves the reading side alone: a peer that stopped listening may have said why.
   */
  send(bytes: Uint8Array, length = bytes.length): MaybeDone {
    if (this.fault !== undefined) return Promise.reject(this.fault);
    this.wrote = true;
    const conn = this.#conn;
    let count = 0;
    try {
      if (conn.tryWrite !== undefined) count = conn.tryWrite(bytes, length);
    } catch (error) {
      return Promise.reject(this.#writeFailed(error));
    }
    if (count < length) return this.#writeAll(bytes.subarray(count, length));
    if (this.#quietMs > 0) this.#quietBy = this.deadlines.in(this.#quietMs);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    try {
      for (;;) {
        this.#writeBy = this.deadlines.in(this.#options.writeMs);
        const count = await this.#conn.write(rest);
        if (this.#quietMs > 0) this.#quietBy = this.deadlines.in(this.#quietMs);
        if (count === rest.length) return;
        rest = rest.subarray(count);
      }
    } catch (error) {
      throw this.#writeFailed(error);
    } finally {
      this.#writeBy = Infinity;
    }
  }

  #writeFailed(error: unknown): Fault {
    return this.writeFault = this.fault ??
      new Fault(this.#options.faults.reset, undefined, { cause: error });
  }

  /** As `send`, for a wire that is used as a `Conn`. */
  async write(bytes: Uint8Array): Promise<number> {
    await this.send(bytes);
    return bytes.length;
  }

  /** What was read ahead comes first: so a wire can be handed on as a `Conn` after an upgrade. */
  async read(buffer: Uint8Array): Promise<number | null> {
    if (this.start === this.end && !await this.fill(true)) return null;
    const count = Math.min(buffer.length, this.end - this.start);
    buffer.set(this.bytes.subarray(this.start, this.start + count));
    this.start += count;
    return count;
  }

  async closeWrite(): Promise<void> {
    try {
      await this.#conn.closeWrite();
    } catch (error) {
      throw this.fail(new Fault(this.#options.faults.reset, undefined, { cause: error }));
    }
  }

  /** Ends it in order; whoever still waits gets `fault`. */
  close(fault?: Fault): void {
    if (this.#closed) return;
    this.#closed = true;
    this.fault ??= fault ?? CLOSED;
    this.deadlines.delete(this);
    this.#conn.close();
  }

  /** Closes it, if that is still to do, and gives its buffers to others: no byte of it is used any more. */
  dispose(): void {
    this.close();
    this.companion?.close();
    this.unhold();
    // A read that is not known to have ended may still write into it.
    if (!this.#isReading) giveBuffer(this.bytes);
    this.bytes = NONE;
    this.start = this.end = 0;
  }

  reset(): void {
    this.fail(new Fault("drained"));
  }

  /** Ends it so that the peer can tell; everybody who waits gets the first fault, which is returned. */
  fail(fault: Fault): Fault {
    if (this.fault !== undefined) return this.fault;
    this.fault = fault;
    this.#closed = true;
    this.deadlines.delete(this);
    this.#conn.reset();
    this.onFail?.(fault);
    return fault;
  }
}
