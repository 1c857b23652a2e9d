/**
 * Free pipes and buffers. A flow takes one when its sink does not accept bytes, or when it splices, and
 * returns it as soon as it is empty: an idle session has neither. Records of waiting clients are pooled as
 * well.
 */
import type { Kernel, Pipe } from "../../linux/kernel.ts";
import { Wait } from "./wait.ts";

/** Most pipes at one time: each needs two descriptors, and memory when its sink is slow. */
const PIPES_MAX = 1_000;
const PIPES_KEPT = 64;
const BUFFERS_KEPT = 64;
const WAITS_KEPT = 64;

/** Bytes that a sink has not accepted yet. */
export interface Buffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Index of the first byte that is still to be sent. */
  at: number;
}

/** The pools of one thread, each with a maximum. */
export class Pools {
  readonly #kernel: Kernel;
  readonly #pipes: Pipe[] = [];
  readonly #buffers: Buffer[] = [];
  readonly #waits: Wait[] = [];
  #pipesMax = PIPES_MAX;
  #made = 0;

  /** At most `pipesMax` pipes are made, and never more than 1 000. */
  constructor(kernel: Kernel, pipesMax = PIPES_MAX) {
    this.#kernel = kernel;
    this.setMax(pipesMax);
  }

  /** Changes how many pipes may be made; those that there are stay. */
  setMax(pipesMax = PIPES_MAX): void {
    this.#pipesMax = Math.min(pipesMax, PIPES_MAX);
  }

  /** An empty pipe, or undefined when none can be made now. The caller returns it or drops it. */
  takePipe(): Pipe | undefined {
    const kept = this.#pipes.pop();
    if (kept !== undefined) return kept;
    if (this.#made >= this.#pipesMax) return undefined;
    const made = this.#kernel.pipe();
    if (typeof made === "number") return undefined;
    this.#made++;
    return made;
  }

  /** Takes over a pipe that another process has made. The caller returns it or drops it as one of these. */
  adoptPipe(pipe: Pipe): Pipe {
    this.#made++;
    return pipe;
  }

  /** Takes back an empty pipe. */
  givePipe(pipe: Pipe): void {
    if (this.#pipes.length < PIPES_KEPT) this.#pipes.push(pipe);
    else this.dropPipe(pipe);
  }

  /** Closes a pipe that is not empty. */
  dropPipe(pipe: Pipe): void {
    this.#made--;
    this.#kernel.close(pipe.read);
    this.#kernel.close(pipe.write);
  }

  /** A buffer as large as the kernel's scratch. */
  takeBuffer(): Buffer {
    return this.#buffers.pop() ?? { bytes: new Uint8Array(this.#kernel.scratch.length), at: 0 };
  }

  /** Takes back a buffer, whose bytes were sent or are lost. */
  giveBuffer(buffer: Buffer): void {
    if (this.#buffers.length < BUFFERS_KEPT) this.#buffers.push(buffer);
  }

  /** A record for a client that has no upstream; its `begin` has to be called. */
  takeWait(): Wait {
    return this.#waits.pop() ?? new Wait();
  }

  /** Takes back a record that no client uses any more. */
  giveWait(wait: Wait): void {
    if (this.#waits.length < WAITS_KEPT) this.#waits.push(wait);
  }

  /** Closes all free pipes, because the system is short of descriptors. */
  trim(): void {
    for (const pipe of this.#pipes.splice(0)) this.dropPipe(pipe);
  }
}
