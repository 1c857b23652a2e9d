/**
 * One direction of a session: bytes from a source to a sink until the source is dry or the sink is full.
 *
 * A flow has two modes. It copies small messages through one buffer that all flows share: two system calls
 * per message. When reads keep filling that buffer, it splices through a pipe instead, and the bytes never
 * enter this process (splice(2)). When splices move little, it returns to copying. Bytes that the sink does
 * not accept are held in a buffer or in the pipe, and nothing more is read until they are gone: at most one
 * buffer or pipe per flow.
 */
import type { Histogram } from "../../base/histogram.ts";
import { EAGAIN, EINTR, EINVAL, EPIPE } from "../../linux/errno.ts";
import type { Semaphore } from "../../base/semaphore.ts";
import type { Kernel, Pipe } from "../../linux/kernel.ts";
import type { SharedCounters } from "../../threads/memory.ts";
import type { Buffer, Pools } from "./pools.ts";

/** The objects that all flows of one loop share. */
export interface FlowDeps {
  readonly kernel: Kernel;
  readonly pools: Pools;
  readonly counters: SharedCounters;
  /** How long clients waited. */
  readonly holdTimes: Histogram;
  /** Counts the clients that wait. */
  readonly held: Pick<Semaphore, "acquireAnyway" | "release">;
}

/**
 * Why a pump stopped. `dry`: until the kernel reports the source. `full`: until it reports the sink.
 * `again`: its share of this tick is used up. `end`: the source ended and all its bytes were delivered; the
 * end has not been passed on to the sink yet. `sourceFailed`, `sinkFailed`: that socket was reset or failed.
 * `sinkClosed`: the sink accepts nothing more although no reset was seen; bytes that it sent, and its end,
 * may still be readable.
 */
export type Pumped =
  | "dry"
  | "full"
  | "again"
  | "end"
  | "sourceFailed"
  | "sinkFailed"
  | "sinkClosed";

/**
 * Reads in one tick while others may wait: with full buffers 768 KB copied, or 3 MB spliced. With 16, a message
 * beside 32 bulk streams waits longer than behind HAProxy.
 */
const ROUNDS_MAX = 12;
/**
 * The same while nobody waits: 6 MB, about a millisecond. The less often streams alternate, the less often the kernel
 * wakes their peers, which is a third of what many streams cost. With more it costs no less.
 */
const ROUNDS_MAX_ALONE = 24;
/** Full reads in a row after which a flow splices. */
const FULL_READS = 2;
/** Splices in a row, each of less than half a scratch buffer, after which it copies again. */
const SMALL_SPLICES = 3;

// The state of a flow is one number of bits: there are thousands of flows, most of them idle, and a field for
// each bit would make them half as large again.
/** The source was reported readable, and no read has found it dry since. */
const CAN_READ = 1;
/** The sink has not refused a byte since it was reported writable. */
const CAN_WRITE = 2;
/** The source has an end, a failure or an urgent byte pending: a short read does not mean that it is dry. */
const THOROUGH = 4;
/** No byte will pass any more: the end was passed on to the sink, or one of the two sockets is broken. */
const ENDED = 8;
/** A byte was read since the session began. */
const USED = 16;
/** A byte was read or sent since the last `tookStep`. */
const MOVED = 32;
/** The mode: splices through a pipe; without this bit it copies through the shared buffer. */
const SPLICES = 64;
/** These sockets cannot splice, so the mode never changes. */
const COPIES_ONLY = 128;

/** The bits that stay true in another process. */
const LASTING = ENDED | USED | SPLICES | COPIES_ONLY;

/** A flow that stands still, for another process to go on with. */
export interface FlowState {
  /** The lasting bits. */
  readonly is: number;
  /** Bytes that are in neither socket: in `pipe` if there is one, else they are `bytes`. */
  readonly held: number;
  readonly pipe: Pipe | undefined;
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** One direction of one session. */
export class Flow {
  source = -1;
  sink = -1;
  /** Bytes read and not yet taken by the sink; they are in `pipe` if there is one, else in `buffer`. */
  held = 0;
  #is = ENDED;
  #pipe: Pipe | undefined;
  #buffer: Buffer | undefined;
  /** Reasons to change the mode: full reads in a row while it copies, small splices while it splices. */
  #streak = 0;
  /** Index of the counter for its bytes. */
  readonly #counter: number;

  constructor(counter: number) {
    this.#counter = counter;
  }

  /** Starts again between two sockets, which the session owns. */
  begin(source: number, sink: number, readable: boolean, thorough: boolean): void {
    this.source = source;
    this.sink = sink;
    this.held = 0;
    this.#is = CAN_WRITE | (readable ? CAN_READ : 0) | (thorough ? THOROUGH : 0);
    this.#streak = 0;
  }

  /** What another process needs to go on. Nothing changes here; `bytes` are valid until the next pump. */
  get state(): FlowState {
    const { held } = this;
    const pipe = held > 0 ? this.#pipe : undefined;
    const buffer = held > 0 && pipe === undefined ? this.#buffer : undefined;
    const bytes = buffer?.bytes.subarray(buffer.at, buffer.at + held);
    return { is: this.#is & LASTING, held, pipe, bytes };
  }

  /** Goes on as another process has left it, between two sockets that the kernel will report. Owns the pipe. */
  restore(
    source: number,
    sink: number,
    { is, held, pipe, bytes }: FlowState,
    deps: FlowDeps,
  ): void {
    this.begin(source, sink, false, false);
    this.#is = is & LASTING | CAN_WRITE;
    this.held = held;
    if (pipe !== undefined) this.#pipe = deps.pools.adoptPipe(pipe);
    if (bytes === undefined) return;
    this.#buffer = deps.pools.takeBuffer();
    this.#buffer.bytes.set(bytes);
    this.#buffer.at = 0;
  }

  /** The source was reported readable; `thorough`: there may be no further report. */
  sourceReady(thorough: boolean): void {
    this.#is |= thorough ? CAN_READ | THOROUGH : CAN_READ;
  }

  /** The sink was reported writable. */
  sinkReady(): void {
    this.#is |= CAN_WRITE;
  }

  /** Must be called when reports may have been missed: every system call is tried once. */
  rouse(): void {
    this.#is |= CAN_READ | CAN_WRITE | THOROUGH;
  }

  /** True while bulk passes, of which each report of the kernel means much work. */
  get splices(): boolean {
    return this.#has(SPLICES);
  }

  /** True when a pump could do something. */
  get canMove(): boolean {
    return (this.#is & (ENDED | CAN_WRITE)) === CAN_WRITE && (this.#has(CAN_READ) || this.held > 0);
  }

  /** No byte will pass any more. */
  get ended(): boolean {
    return this.#has(ENDED);
  }

  /** A byte was read since the session began. */
  get used(): boolean {
    return this.#has(USED);
  }

  /** True when a byte was read or sent on since this was last asked. */
  tookStep(): boolean {
    const moved = this.#has(MOVED);
    this.#is &= ~MOVED;
    return moved;
  }

  /** Ends the flow and returns its buffer and pipe; bytes that were not delivered are lost. */
  end(deps: FlowDeps): void {
    this.#is |= ENDED;
    this.#giveBack(deps);
    this.held = 0;
  }

  /** Puts bytes before the client's, such as a PROXY header; at most as many as the scratch buffer holds. */
  prepend(bytes: Uint8Array, deps: FlowDeps): void {
    deps.kernel.scratch.set(bytes);
    this.#holdCopy(deps, 0, bytes.length);
  }

  /**
   * Moves bytes until it must wait for the kernel, or its share of this tick is used up. `isAlone`: nobody else
   * waits for this thread, so the share may be larger.
   */
  pump(deps: FlowDeps, isAlone: boolean): Pumped {
    const roundsMax = isAlone ? ROUNDS_MAX_ALONE : ROUNDS_MAX;
    for (let round = 0; round < roundsMax; round++) {
      let stopped = this.held > 0 ? this.#flush(deps) : undefined;
      if (stopped !== undefined) return stopped;
      if (this.held > 0) continue;
      if (!this.#has(CAN_WRITE)) return this.#rest(deps, "full");
      if (!this.#has(CAN_READ)) return this.#rest(deps, "dry");
      stopped = this.#has(SPLICES) ? this.#spliceIn(deps) : this.#copy(deps);
      if (stopped !== undefined) return stopped;
    }
    return "again";
  }

  /** One message: read and sent on at once, as long as the sink takes all of it. */
  #copy(deps: FlowDeps): Pumped | undefined {
    const { kernel } = deps;
    const read = kernel.receive(this.source);
    if (read <= 0) return this.#readEnded(deps, read);
    this.#count(deps, read);
    if (read < kernel.scratch.length) {
      this.#streak = 0;
      // Less than we asked for: the source is dry, and what comes later is reported (epoll(7)).
      if (!this.#has(THOROUGH)) this.#is &= ~CAN_READ;
    } else if (!this.#has(COPIES_ONLY) && ++this.#streak >= FULL_READS) this.#enterMode(SPLICES);
    const sent = kernel.send(this.sink, kernel.scratch, 0, read);
    if (sent === read) return undefined;
    if (sent < 0 && !this.#sinkWaits(sent)) return sinkOver(sent);
    this.#holdCopy(deps, Math.max(0, sent), read);
    return undefined;
  }

  #spliceIn(deps: FlowDeps): Pumped | undefined {
    const pipe = this.#pipe ??= deps.pools.takePipe();
    if (pipe === undefined) {
      this.#enterMode(0);
      return undefined;
    }
    // The pipe is empty here, so "would block" can only mean a dry source.
    const read = deps.kernel.splice(this.source, pipe.write, pipe.capacity);
    if (read === -EINVAL) {
      this.#enterMode(COPIES_ONLY);
      this.#giveBack(deps);
      return undefined;
    }
    // At an urgent byte splice(2) returns EAGAIN, or 0 if the end has arrived too, and does so for ever. A
    // plain read skips that byte (tcp(7)), which stays out of band and does not reach the sink, as in every
    // proxy that does not ask for it. So a plain read must confirm both results.
    if (read === 0 || (read === -EAGAIN && this.#has(THOROUGH))) {
      this.#enterMode(0);
      this.#giveBack(deps);
      return undefined;
    }
    if (read <= 0) return this.#readEnded(deps, read);
    this.#count(deps, read);
    this.held = read;
    if (read >= deps.kernel.scratch.length / 2) this.#streak = 0;
    else if (++this.#streak >= SMALL_SPLICES) this.#enterMode(0);
    return undefined;
  }

  /** `mode`: SPLICES, COPIES_ONLY, or 0 for copying until reads are full again. */
  #enterMode(mode: number): void {
    this.#is = this.#is & ~(SPLICES | COPIES_ONLY) | mode;
    this.#streak = 0;
  }

  /** Offers the held bytes to the sink. Undefined: all were accepted, or another attempt may be made. */
  #flush(deps: FlowDeps): Pumped | undefined {
    if (!this.#has(CAN_WRITE)) return "full";
    const sent = this.#pipe === undefined
      ? this.#sendHeld(deps, this.#buffer!)
      : deps.kernel.splice(this.#pipe.read, this.sink, this.held);
    if (sent < 0) {
      if (!this.#sinkWaits(sent)) return sinkOver(sent);
      return this.#has(CAN_WRITE) ? undefined : "full";
    }
    this.#is |= MOVED;
    this.held -= sent;
    if (this.held > 0) return undefined;
    // A flow that continues to splice keeps its pipe for the next round.
    if (this.#pipe === undefined || !this.#has(SPLICES)) this.#giveBack(deps);
    return undefined;
  }

  /** True when a failed send may be tried again: at once, or when the sink is reported writable. */
  #sinkWaits(result: number): boolean {
    if (result === -EAGAIN) this.#is &= ~CAN_WRITE;
    return result === -EAGAIN || result === -EINTR;
  }

  #count(deps: FlowDeps, read: number): void {
    deps.counters[this.#counter]! += read;
    this.#is |= USED | MOVED;
  }

  #readEnded(deps: FlowDeps, read: number): Pumped | undefined {
    if (read === -EINTR) return undefined;
    if (read === 0) return this.#rest(deps, "end");
    if (read !== -EAGAIN) return this.#rest(deps, "sourceFailed");
    this.#is &= ~CAN_READ;
    return this.#rest(deps, "dry");
  }

  #holdCopy(deps: FlowDeps, from: number, to: number): void {
    this.#buffer = deps.pools.takeBuffer();
    this.#buffer.bytes.set(deps.kernel.scratch.subarray(from, to));
    this.#buffer.at = 0;
    this.held = to - from;
  }

  #sendHeld(deps: FlowDeps, buffer: Buffer): number {
    const { bytes, at } = buffer;
    const sent = deps.kernel.send(this.sink, bytes, at, at + this.held);
    if (sent > 0) buffer.at += sent;
    return sent;
  }

  #has(what: number): boolean {
    return (this.#is & what) !== 0;
  }

  #rest(deps: FlowDeps, why: Pumped): Pumped {
    if (this.held === 0) this.#giveBack(deps);
    return why;
  }

  #giveBack(deps: FlowDeps): void {
    if (this.#pipe !== undefined) {
      if (this.held === 0) deps.pools.givePipe(this.#pipe);
      else deps.pools.dropPipe(this.#pipe);
      this.#pipe = undefined;
    }
    if (this.#buffer !== undefined) {
      deps.pools.giveBuffer(this.#buffer);
      this.#buffer = undefined;
    }
  }
}

/** What a failed send means for the sink. EPIPE occurs without a reset, or after one that was reported. */
function sinkOver(result: number): Pumped {
  return result === -EPIPE ? "sinkClosed" : "sinkFailed";
}
