/**
 * One thread, as the main thread sees it: sends envelopes and awaits their confirmation, receives messages, and
 * notices when the thread has ended. Owns the worker and its message port.
 */
import type { Libc } from "../linux/libc.ts";
import { closeMarked, markOver, type Marks } from "../linux/tracked_libc.ts";
import type { ThreadMemory } from "./memory.ts";
import type { Envelope, ShardOrder, ShardSpec, ThreadMessage, ThreadStart } from "./messages.ts";

/** A thread ended without an order to. All its sessions are gone, and its descriptors are closed. */
export class ThreadDied extends Error {
  override readonly name = "ThreadDied";
}

/** What the handle of a thread needs. `number` counts from 0. */
export interface ThreadParts {
  readonly libc: Libc;
  readonly script: URL;
  readonly number: number;
  readonly kinds: readonly string[];
  readonly memory: ThreadMemory;
  readonly marks: Marks;
  /** Receives all messages but confirmations and the last one. */
  readonly onMessage: (message: ThreadMessage) => void;
}

/** What an envelope holds besides its number. */
export type EnvelopeContent =
  | { readonly service: number; readonly order: ShardOrder }
  | { readonly service: number; readonly spec: ShardSpec }
  | { readonly look: true }
  | { readonly quit: true };

/** One thread, from its start to its end. It is not started again: another handle takes its place. */
export class ThreadHandle {
  /** Resolves after `quit`; rejects with `ThreadDied`. */
  readonly ended: Promise<void>;
  readonly #parts: ThreadParts;
  readonly #eventfd: number;
  readonly #port: MessagePort;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, () => void>();
  readonly #end = Promise.withResolvers<void>();
  #isOver = false;
  #id = 0;

  /** Throws if no thread can be started. */
  constructor(parts: ThreadParts) {
    this.#parts = parts;
    this.ended = this.#end.promise;
    this.ended.catch(() => {}); // a rejection before somebody awaits it is no error
    const { number, kinds, memory, marks } = parts;
    this.#eventfd = memory.eventfds[number]!;
    this.#worker = new Worker(parts.script, { type: "module", name: `data ${number + 1}` });
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#worker.onmessage = ({ data }: MessageEvent<ThreadMessage>) => this.#read(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // else the whole process would end
      this.#close(new ThreadDied(event.message));
    };
    const start: ThreadStart = { number, kinds, memory, marks, port: port2 };
    this.#worker.postMessage(start, [port2]);
  }

  /** Resolves when the thread has read it, and what it orders is in force; at once if the thread has ended. */
  send(content: EnvelopeContent): Promise<void> {
    if (this.#isOver) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const envelope: Envelope = { id: ++this.#id, ...content };
    this.#waiting.set(envelope.id, resolve);
    this.#port.postMessage(envelope);
    this.#parts.libc.wake(this.#eventfd);
    return promise;
  }

  /** The thread ends as soon as its present turn does, if ever; `declareDead` must follow. */
  terminate(): void {
    markOver(this.#parts.marks);
    this.#worker.terminate();
  }

  /** Ends the handle, for the reason `reason`. */
  declareDead(reason: string): void {
    this.#close(new ThreadDied(reason));
  }

  #read(message: ThreadMessage): void {
    if (message.is === "done") {
      this.#waiting.get(message.id)?.();
      this.#waiting.delete(message.id);
    } else if (message.is === "quit") this.#close();
    else if (message.is === "died") this.#close(new ThreadDied(message.reason));
    else this.#parts.onMessage(message);
  }

  #close(error?: ThreadDied): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#worker.terminate();
    this.#port.close();
    closeMarked(this.#parts.libc, this.#parts.marks);
    for (const resolve of this.#waiting.values()) resolve();
    this.#waiting.clear();
    if (error === undefined) this.#end.resolve();
    else this.#end.reject(error);
  }
}
