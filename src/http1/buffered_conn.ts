/**
 * A `Conn` with a read buffer, deadlines and one end. All failures go through `fail`, once: every pending
 * operation gets the first fault.
 *
 * A read can be pending (`watch`) although nobody waits for bytes: by it we notice a peer that leaves, and
 * it becomes the first read of the next message.
 */
import { Fault, type FaultName } from "../base/fault.ts";
import type { Conn, Reader, TryConn } from "../net/conn.ts";
import { tlsDetail } from "../net/tls_failure.ts";
import type { CoarseTimed, Deadlines } from "../net/deadlines.ts";
import { withReadAhead } from "../net/read_ahead.ts";
import type { MaybeDone } from "./maybe_done.ts";
import { ReadBuffer } from "./read_buffer.ts";

/** The names of faults that depend on who the peer is. */
export interface BufferedConnFaults {
  readonly reset: FaultName;
  readonly slowWrite: FaultName;
}

/** What connections of one server or pool have in common. */
export interface BufferedConnOptions {
  readonly deadlines: Deadlines;
  /** Without a byte taken by the peer, in milliseconds. */
  readonly writeMs: number;
  readonly faults: BufferedConnFaults;
}

/** The events of a connection for its owner. The callbacks must not throw. */
export interface BufferedConnEvents {
  /** A read has ended: with bytes, or, if `hasMore` is false, at the peer's end. */
  onArrival?(hasMore: boolean): void;
  /** The read deadline has passed. Where this is missing, the connection fails with `fault`. */
  onLate?(fault: Fault): void;
  /** It has failed. Called once at most, and not after `close`. */
  onFail?(fault: Fault): void;
}

/** Waits for bytes without a promise: on the way of a request, promises cost more than the work between them. */
export interface Filler {
  /** More bytes were read; false: the peer has ended instead. */
  filled(hasMore: boolean): void;
  /** The connection has failed. */
  fillFailed(fault: Fault): void;
}

/** Made once, because an Error is expensive and most connections end well. */
const CLOSED = new Fault("closedUnused", "closed by us");

/** One connection, on either side of the proxy. */
export class BufferedConn implements Conn, Reader, CoarseTimed {
  /** An object that is closed together with it. */
  companion: { close(): void } | undefined;
  /** A value that its user keeps from one message to the next. */
  memo: unknown;
  place = -1;
  readonly #conn: Conn & Partial<TryConn>;
  readonly deadlines: Deadlines;
  readonly #options: BufferedConnOptions;
  readonly #events: BufferedConnEvents;
  /** What was read and has not been used. */
  readonly input = new ReadBuffer();
  /** True once the peer has closed its sending side. */
  atEnd = false;
  /** Why it ended, if it ended badly. */
  fault: Fault | undefined;
  /** Why the last write failed. */
  writeFault: Fault | undefined;
  /** True once bytes were handed to the system; the owner sets it back for each message. */
  wrote = false;
  /** Bytes read so far. */
  received = 0;
  #isReading = false;
  /** The next read is one of a body. */
  #isLarge = false;
  /** Settled by the pending read, if somebody waits for it. */
  #waiter: PromiseWithResolvers<boolean> | undefined;
  #filler: Filler | undefined;
  #readBy = Infinity;
  #readFault: FaultName = "idleTimeout";
  #writeBy = Infinity;
  #quietMs = 0;
  #quietBy = Infinity;
  #quietFault: FaultName = "idleTimeout";
  #closed = false;

  /** Owns `conn` from here. */
  constructor(conn: Conn, options: BufferedConnOptions, events: BufferedConnEvents = {}) {
    this.#conn = conn;
    this.#events = events;
    this.#options = options;
    this.deadlines = options.deadlines;
    this.deadlines.add(this);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sets the deadline of the pending or next read, and the fault when it has passed. Infinity is none. */
  readBy(moment: number, fault: FaultName): void {
    this.#readBy = moment;
    this.#readFault = fault;
  }

  /**
   * From now on the connection fails after `ms` in which no byte moved in either direction, the first time
   * after `firstMs`; 0 is never. While the peer has not taken all that we write, the write deadline counts.
   */
  endWhenQuiet(ms: number, fault: FaultName, firstMs = ms): void {
    this.#quietMs = ms;
    this.#quietBy = this.deadlines.in(firstMs);
    this.#quietFault = fault;
  }

  tick(now: number): void {
    if (now >= this.#readBy) {
      this.#readBy = Infinity;
      const fault = new Fault(this.#readFault);
      if (this.#events.onLate !== undefined) this.#events.onLate(fault);
      else this.fail(fault);
    } else if (now >= this.#writeBy) this.fail(new Fault(this.#options.faults.slowWrite));
    else if (now >= this.#quietBy && this.#writeBy === Infinity) {
      this.fail(new Fault(this.#quietFault));
    }
  }

  /**
   * Waits until more bytes were read; false at the peer's end. A second call joins the first. `large`: a body
   * is read. Rejects with a Fault.
   */
  fill(large = false): Promise<boolean> {
    if (this.#waiter !== undefined) return this.#waiter.promise;
    this.watch(large);
    if (this.#isReading) return (this.#waiter = Promise.withResolvers<boolean>()).promise;
    return this.fault === undefined ? Promise.resolve(!this.atEnd) : Promise.reject(this.fault);
  }

  /** As `fill`, but calls `filler`, which happens before this returns if there is nothing to wait for. */
  fillFor(filler: Filler, large = false): void {
    this.#filler = filler;
    this.watch(large);
    // The read may have ended already, and the filler may even have asked for the next one.
    if (this.#isReading || this.#filler !== filler) return;
    this.#filler = undefined;
    if (this.fault === undefined) filler.filled(!this.atEnd);
    else filler.fillFailed(this.fault);
  }

  /** Begins a read, if none is pending. `onArrival` or `onFail` is called with its outcome. */
  watch(large = false): void {
    this.#isLarge = large;
    if (this.#isReading || this.fault !== undefined || this.atEnd) return;
    const conn = this.#conn;
    this.#isReading = true;
    if (conn.readWith !== undefined) conn.readWith(this);
    else conn.read(this.room()).then((count) => this.arrived(count), (error) => this.failed(error));
  }

  room(): Uint8Array {
    return this.input.room(this.#isLarge);
  }

  /** Between two messages: the bytes of the last one are not used any more. A buffer is held only if need be. */
  rest(): void {
    this.input.unhold();
    // Sockets without `readWith` may be reading into it.
    if (this.#conn.readWith !== undefined) this.input.release();
  }

  /** True if `look` can ask the system for bytes that have not been reported yet. */
  get canLook(): boolean {
    return this.#conn.look !== undefined;
  }

  /** True if unused bytes are here. Asks the system once more if `canLook`; for `isExact` see there. */
  look(isExact = true): boolean {
    if (this.input.isEmpty && this.#isReading) this.#conn.look?.(isExact);
    return !this.input.isEmpty;
  }

  arrived(count: number | null): void {
    this.#isReading = false;
    if (count === null) this.atEnd = true;
    else {
      this.input.added(count);
      this.received += count;
      if (this.#quietMs > 0) this.#quietBy = this.deadlines.in(this.#quietMs);
    }
    const waiter = this.#waiter;
    const filler = this.#filler;
    this.#waiter = this.#filler = undefined;
    this.#events.onArrival?.(count !== null);
    waiter?.resolve(count !== null);
    // Last, because it may begin the next read.
    filler?.filled(count !== null);
  }

  failed(error: unknown): void {
    this.#isReading = false;
    const fault = this.fault ??
      this.fail(new Fault(this.#options.faults.reset, tlsDetail(error), { cause: error }));
    const waiter = this.#waiter;
    const filler = this.#filler;
    this.#waiter = this.#filler = undefined;
    waiter?.reject(fault);
    filler?.fillFailed(fault);
  }

  /**
   * Writes the first `length` bytes, all of them. One call at a time. Rejects with a Fault, but does not end
   * the connection: a peer that has stopped reading may have sent its reason.
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
      new Fault(this.#options.faults.reset, tlsDetail(error), { cause: error });
  }

  /** As `send`, for users of a `Conn`. */
  async write(bytes: Uint8Array): Promise<number> {
    await this.send(bytes);
    return bytes.length;
  }

  /** Gives the bytes that were read ahead first, so that it can be used as a `Conn` after an upgrade. */
  async read(buffer: Uint8Array): Promise<number | null> {
    const { input } = this;
    if (input.isEmpty && !await this.fill(true)) return null;
    const count = Math.min(buffer.length, input.length);
    buffer.set(input.take(count));
    return count;
  }

  async closeWrite(): Promise<void> {
    try {
      await this.#conn.closeWrite();
    } catch (error) {
      throw this.fail(new Fault(this.#options.faults.reset, tlsDetail(error), { cause: error }));
    }
  }

  /**
   * For another user of the connection, who reads first what was read here and not used. Nothing may be pending. Its
   * deadlines here end, and nothing is read here any more; `close` and `fail` still end it.
   */
  handOver(): Conn & Partial<TryConn> {
    this.deadlines.delete(this);
    const { input } = this;
    const rest = input.take(input.length).slice();
    this.rest();
    return withReadAhead(this.#conn, rest);
  }

  /** As `TryConn.freeze`; -1 also if bytes were read that nobody has used. */
  freeze(): number {
    const isFresh = this.input.isEmpty && !this.atEnd && this.fault === undefined;
    return isFresh ? this.#conn.freeze?.() ?? -1 : -1;
  }

  thaw(): void {
    this.#conn.thaw?.();
  }

  /** Closes it in order. Every operation that is still pending gets `fault`. */
  close(fault?: Fault): void {
    if (this.#closed) return;
    this.#closed = true;
    this.fault ??= fault ?? CLOSED;
    this.deadlines.delete(this);
    this.#conn.close();
  }

  /** Closes it, if it is open, and frees its buffers: no byte of them may be used any more. */
  dispose(): void {
    this.close();
    this.companion?.close();
    // A read that is not known to have ended may still write to its buffer.
    this.input.dispose(this.#isReading);
  }

  reset(): void {
    this.fail(new Fault("drained"));
  }

  /** Resets it, so that the peer sees the failure. Pending operations get the first fault, which is returned. */
  fail(fault: Fault): Fault {
    if (this.fault !== undefined) return this.fault;
    this.fault = fault;
    this.#closed = true;
    this.deadlines.delete(this);
    this.#conn.reset();
    this.#events.onFail?.(fault);
    return fault;
  }
}
