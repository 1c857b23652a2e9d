/**
 * One worker, as the main thread sees it: sends orders and awaits their confirmation, receives reports, and
 * notices when the worker died or hangs. Owns the worker, its message port, its eventfd and its libc.
 */
import type { Clock } from "../../base/clock.ts";
import type { PortShare } from "../../linux/kernel.ts";
import { Libc } from "../../linux/libc.ts";
import type { RelaySettings } from "../engine.ts";
import { closeMarked, type Marks, newMarks } from "../../linux/tracked_libc.ts";
import { COUNT, type Counters, newCounters } from "./counters.ts";
import type { Envelope, Order, Report, Start } from "./messages.ts";

/** A loop ticks at least twice a second; one that has not ticked in five checks in a row hangs. */
const POLL_MS = 2_000;
const POLLS_MAX = 5;

/** A worker ended without an order to. All its sessions are gone, and its descriptors are closed. */
export class WorkerDied extends Error {
  override readonly name = "WorkerDied";
}

/** What outlives a worker and is given to its successor. */
export interface SharedMemory {
  readonly counters: Counters;
  readonly marks: Marks;
}

export function newSharedMemory(): SharedMemory {
  return { counters: newCounters(), marks: newMarks() };
}

/** What a worker runs. */
export const WORKER = new URL("./worker.ts", import.meta.url);

export class WorkerHandle {
  readonly counters: Counters;
  /** The number of sessions cut at its stop; rejects with `WorkerDied`. */
  readonly ended: Promise<number>;
  readonly #libc = new Libc();
  readonly #marks: Marks;
  readonly #eventfd: number;
  readonly #port: MessagePort;
  readonly #worker: Worker;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, () => void>();
  readonly #end = Promise.withResolvers<number>();
  #stopPolling: () => void = () => {};
  #isOver = false;
  #id = 0;

  constructor(
    clock: Clock,
    settings: RelaySettings,
    reusePort: PortShare,
    report: (report: Report) => void,
    script = WORKER,
    { counters, marks } = newSharedMemory(),
  ) {
    this.#clock = clock;
    this.counters = counters;
    this.#marks = marks;
    this.ended = this.#end.promise;
    this.ended.catch(() => {}); // a rejection before somebody awaits it is no error
    this.#eventfd = this.#libc.eventfd();
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker = new Worker(script, { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Report>) => this.#read(data, report);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // else the whole process would end
      this.#close(new WorkerDied(event.message));
    };
    const eventfd = this.#eventfd;
    const start: Start = { settings, counters, marks, eventfd, port: port2, reusePort };
    this.#worker.postMessage(start, [port2]);
    this.#poll(0, 0);
  }

  /** Resolves when the order is in force; at once when there is no worker any more. */
  order(order: Order): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const envelope: Envelope = { id: ++this.#id, order };
    this.#waiting.set(envelope.id, resolve);
    this.#port.postMessage(envelope);
    this.#libc.wake(this.#eventfd);
    return promise;
  }

  #read(report: Report, pass: (report: Report) => void): void {
    if (report.is === "done") {
      this.#waiting.get(report.id)?.();
      this.#waiting.delete(report.id);
    } else if (report.is === "stopped") this.#close(report.cut);
    else if (report.is === "died") this.#close(new WorkerDied(report.reason));
    else pass(report);
  }

  #poll(lastBeat: number, still: number): void {
    this.#stopPolling = this.#clock.after(POLL_MS, () => {
      const beat = this.counters[COUNT.beat]!;
      const stillNow = beat === lastBeat ? still + 1 : 0;
      if (stillNow < POLLS_MAX) this.#poll(beat, stillNow);
      else this.#giveUp();
    });
  }

  /** Ends a worker that hangs. That may take a moment, in which its descriptors are still in use. */
  #giveUp(): void {
    this.#worker.terminate();
    this.#stopPolling = this.#clock.after(POLL_MS, () => {
      this.#close(new WorkerDied("its loop stands still"));
    });
  }

  #close(outcome: number | WorkerDied): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopPolling();
    this.#worker.terminate();
    this.#port.close();
    // The open port stays for the next worker, with the clients in its accept queue.
    closeMarked(this.#libc, this.#marks, this.counters[COUNT.listener]! - 1);
    this.#libc.close(this.#eventfd);
    this.#libc[Symbol.dispose]();
    for (const resolve of this.#waiting.values()) resolve();
    this.#waiting.clear();
    if (typeof outcome === "number") this.#end.resolve(outcome);
    else this.#end.reject(outcome);
  }
}
