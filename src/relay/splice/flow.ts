/**
 * One direction of a session: bytes from a source to a sink until the source is dry or the sink is full.
 *
 * Small messages are copied through one buffer that all flows share: two calls per message. When reads
 * keep filling that buffer the flow splices instead, through a pipe, and the bytes never enter this
 * process; when splices bring little it goes back to copying. What a sink does not take is held, in a
 * buffer or in the pipe, and nothing more is read until it is gone: at most one buffer or pipe per flow.
 */
import { EAGAIN, EINTR, EINVAL } from "../../linux/errno.ts";
import type { Kernel, Pipe } from "../../linux/kernel.ts";
import type { Counters } from "./counters.ts";
import type { Buffer, Pools } from "./pools.ts";

/** What the flows of one loop share. */
export interface Plant {
  readonly kernel: Kernel;
  readonly pools: Pools;
  readonly counters: Counters;
}

/**
 * Why a pump stopped. `dry`, `full`: until the kernel reports the source, the sink. `again`: its turn was
 * used up. `end`: the source ended and all of it was delivered; the sink does not know yet.
 */
export type Pumped = "dry" | "full" | "again" | "end" | "sourceFailed" | "sinkFailed";

/** Reads of one turn; with full buffers 1 MB copied, or 4 MB spliced. */
const ROUNDS_MAX = 16;
/** Full reads in a row that make a flow splice. */
const BULK_READS = 2;
/** Splices in a row, each of less than half a scratch buffer, that make it copy again. */
const SMALL_SPLICES = 3;

export class Flow {
  source = -1;
  sink = -1;
  /** The source was reported readable and no read came back dry since. */
  readable = false;
  /** The sink has not refused a byte since it was reported writable. */
  writable = false;
  /** The source's end, failure or urgent byte is near: a short read does not mean that it is dry. */
  thorough = false;
  /** No byte will pass any more: the sink was told, or one of both is broken. */
  ended = false;
  /** A byte was read since the session began. */
  used = false;
  /** A byte was read or sent on since the session last looked, which also resets it. */
  moved = false;
  /** Bytes read and not yet taken by the sink; they are in `pipe` if there is one, else in `buffer`. */
  held = 0;
  #pipe: Pipe | undefined;
  #buffer: Buffer | undefined;
  #bufferAt = 0;
  /** Full reads in a row; `-Infinity` for sockets that cannot splice. */
  #fullReads = 0;
  #smallSplices = 0;
  /** Where in the counters its bytes go. */
  readonly #counter: number;

  constructor(counter: number) {
    this.#counter = counter;
  }

  /** Begins anew between two sockets, which the session owns. */
  begin(source: number, sink: number, readable: boolean, thorough: boolean): void {
    this.source = source;
    this.sink = sink;
    this.readable = readable;
    this.writable = true;
    this.thorough = thorough;
    this.ended = false;
    this.used = false;
    this.moved = false;
    this.held = 0;
    this.#fullReads = 0;
    this.#smallSplices = 0;
  }

  /** To be called when reports may have gone by unseen: everything is tried once. */
  rouse(): void {
    this.readable = this.writable = this.thorough = true;
  }

  /** True when a pump could do something. */
  get canMove(): boolean {
    return !this.ended && this.writable && (this.readable || this.held > 0);
  }

  /** Ends it and gives back what it holds; bytes not delivered are lost. */
  end(plant: Plant): void {
    this.ended = true;
    this.#giveBack(plant);
    this.held = 0;
  }

  /** Bytes in front of the client's own, such as a PROXY header; at most a scratch buffer of them. */
  prepend(bytes: Uint8Array, plant: Plant): void {
    plant.kernel.scratch.set(bytes);
    this.#holdCopy(plant, 0, bytes.length);
  }

  /** Moves bytes until there is something to wait for or the turn is over. */
  pump(plant: Plant): Pumped {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let stopped = this.held > 0 ? this.#flush(plant) : undefined;
      if (stopped !== undefined) return stopped;
      if (this.held > 0) continue;
      if (!this.writable) return this.#rest(plant, "full");
      if (!this.readable) return this.#rest(plant, "dry");
      stopped = this.#fullReads >= BULK_READS ? this.#spliceIn(plant) : this.#copy(plant);
      if (stopped !== undefined) return stopped;
    }
    return "again";
  }

  /** One message: read and sent on at once, as long as the sink takes all of it. */
  #copy(plant: Plant): Pumped | undefined {
    const { kernel } = plant;
    const read = kernel.receive(this.source);
    if (read <= 0) return this.#readEnded(plant, read);
    this.#count(plant, read);
    if (read === kernel.scratch.length) this.#fullReads++;
    else {
      this.#fullReads = Math.min(this.#fullReads, 0);
      // Less than we asked for: the source is dry, and what comes later is reported (epoll(7)).
      if (!this.thorough) this.readable = false;
    }
    const sent = kernel.send(this.sink, kernel.scratch, 0, read);
    if (sent === read) return undefined;
    if (sent < 0 && !this.#sinkWaits(sent)) return "sinkFailed";
    this.#holdCopy(plant, Math.max(0, sent), read);
    return undefined;
  }

  #spliceIn(plant: Plant): Pumped | undefined {
    const pipe = this.#pipe ??= plant.pools.takePipe();
    if (pipe === undefined) {
      this.#fullReads = 0;
      return undefined;
    }
    // The pipe is empty here, so "would block" can only mean a dry source.
    const read = plant.kernel.splice(this.source, pipe.write, pipe.capacity);
    if (read === -EINVAL) {
      this.#fullReads = -Infinity;
      this.#giveBack(plant);
      return undefined;
    }
    if (read <= 0) return this.#readEnded(plant, read);
    this.#count(plant, read);
    this.held = read;
    this.#smallSplices = read < plant.kernel.scratch.length / 2 ? this.#smallSplices + 1 : 0;
    if (this.#smallSplices >= SMALL_SPLICES) {
      this.#fullReads = 0;
      this.#smallSplices = 0;
    }
    return undefined;
  }

  /** Offers the sink what is held. Undefined: it is all gone, or an attempt more may be made. */
  #flush(plant: Plant): Pumped | undefined {
    if (!this.writable) return "full";
    const sent = this.#pipe === undefined
      ? plant.kernel.send(this.sink, this.#buffer!, this.#bufferAt, this.#bufferAt + this.held)
      : plant.kernel.splice(this.#pipe.read, this.sink, this.held);
    if (sent < 0) {
      if (!this.#sinkWaits(sent)) return "sinkFailed";
      return this.writable ? undefined : "full";
    }
    this.moved = true;
    this.held -= sent;
    this.#bufferAt += sent;
    if (this.held > 0) return undefined;
    // A flow that goes on splicing keeps its pipe for the next round.
    if (this.#pipe === undefined || this.#fullReads < BULK_READS) this.#giveBack(plant);
    return undefined;
  }

  /** True when a send that failed may be tried again, at once or when the sink is reported. */
  #sinkWaits(result: number): boolean {
    if (result === -EAGAIN) this.writable = false;
    return result === -EAGAIN || result === -EINTR;
  }

  #count(plant: Plant, read: number): void {
    plant.counters[this.#counter]! += read;
    this.used = true;
    this.moved = true;
  }

  #readEnded(plant: Plant, read: number): Pumped | undefined {
    if (read === -EINTR) return undefined;
    if (read === 0) return this.#rest(plant, "end");
    if (read !== -EAGAIN) return this.#rest(plant, "sourceFailed");
    this.readable = false;
    return this.#rest(plant, "dry");
  }

  #holdCopy(plant: Plant, from: number, to: number): void {
    this.#buffer = plant.pools.takeBuffer();
    this.#buffer.set(plant.kernel.scratch.subarray(from, to));
    this.#bufferAt = 0;
    this.held = to - from;
  }

  #rest(plant: Plant, why: Pumped): Pumped {
    if (this.held === 0) this.#giveBack(plant);
    return why;
  }

  #giveBack(plant: Plant): void {
    if (this.#pipe !== undefined) {
      if (this.held === 0) plant.pools.givePipe(this.#pipe);
      else plant.pools.dropPipe(this.#pipe);
      this.#pipe = undefined;
    }
    if (this.#buffer !== undefined) {
      plant.pools.giveBuffer(this.#buffer);
      this.#buffer = undefined;
    }
  }
}
