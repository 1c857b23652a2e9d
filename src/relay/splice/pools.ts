/**
 * Pipes and buffers between their uses. A flow takes one when it has bytes that its sink will not take,
 * or bulk to move, and gives it back as soon as it is empty: an idle session holds neither. Records of
 * waiting clients lie here as well.
 */
import type { Kernel, Pipe } from "../../linux/kernel.ts";
import { Wait } from "./wait.ts";

/** Pipes there may be at one time: each takes two descriptors, and memory when its sink is slow. */
const PIPES_MAX = 1_000;
const PIPES_KEPT = 64;
const BUFFERS_KEPT = 64;
const WAITS_KEPT = 64;

/** Bytes that a sink did not take yet. */
export interface Buffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where those begin that are still to go. */
  at: number;
}

export class Pools {
  readonly #kernel: Kernel;
  readonly #pipes: Pipe[] = [];
  readonly #buffers: Buffer[] = [];
  readonly #waits: Wait[] = [];
  readonly #pipesMax: number;
  #made = 0;

  /** `pipesMax` and no more than that many pipes are made. */
  constructor(kernel: Kernel, pipesMax = PIPES_MAX) {
    this.#kernel = kernel;
    this.#pipesMax = Math.min(pipesMax, PIPES_MAX);
  }

  /** An empty pipe, or undefined when there is none to be had now. The taker gives it back or drops it. */
  takePipe(): Pipe | undefined {
    const kept = this.#pipes.pop();
    if (kept !== undefined) return kept;
    if (this.#made >= this.#pipesMax) return undefined;
    const made = this.#kernel.pipe();
    if (typeof made === "number") return undefined;
    this.#made++;
    return made;
  }

  /** Takes back an empty pipe. */
  givePipe(pipe: Pipe): void {
    if (this.#pipes.length < PIPES_KEPT) this.#pipes.push(pipe);
    else this.dropPipe(pipe);
  }

  /** Closes a pipe, for one that is not empty. */
  dropPipe(pipe: Pipe): void {
    this.#made--;
    this.#kernel.close(pipe.read);
    this.#kernel.close(pipe.write);
  }

  /** A buffer as large as the kernel's scratch. */
  takeBuffer(): Buffer {
    return this.#buffers.pop() ?? { bytes: new Uint8Array(this.#kernel.scratch.length), at: 0 };
  }

  giveBuffer(buffer: Buffer): void {
    if (this.#buffers.length < BUFFERS_KEPT) this.#buffers.push(buffer);
  }

  /** A record for a client that has no upstream; its `begin` has to be called. */
  takeWait(): Wait {
    return this.#waits.pop() ?? new Wait();
  }

  giveWait(wait: Wait): void {
    if (this.#waits.length < WAITS_KEPT) this.#waits.push(wait);
  }

  /** Gives the descriptors that are kept back to the system, which is short of them. */
  trim(): void {
    for (const pipe of this.#pipes.splice(0)) this.dropPipe(pipe);
  }
}
