/**
 * All threads of the process that move bytes: an order goes to the shards of its service in each of them. A
 * thread that dies loses its sessions and nothing else: the listening sockets are the main thread's, new clients
 * wait in their accept queues or are taken by other threads, and after a pause a new thread takes its place and
 * gets all services with their latest orders.
 */
import { backoffMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { Libc } from "../linux/libc.ts";
import { type Marks, marksForNext, newMarks } from "../linux/tracked_libc.ts";
import { type ServiceSpec, ShardedService } from "./sharded_service.ts";
import { newThreadMemory, type ThreadMemory } from "./memory.ts";
import type { ThreadMessage } from "./messages.ts";
import { type EnvelopeContent, ThreadHandle } from "./thread_handle.ts";
import { ThreadWatchdog } from "./watchdog.ts";

/** The pause before a thread is started again: doubled each time, up to the maximum. */
const RESTART_FIRST_MS = 250;
const RESTART_MAX_MS = 10_000;
/** After so long without a death the pause begins at its first value again. */
const STABLE_MS = 60_000;
/** The interval between two looks at the threads, and the time that one has to end after it was terminated. */
const LOOK_MS = 2_000;
/** CPU time after which a tick that has not ended is taken for one that never will. */
const HANG_CPU_MS = 10_000;

/** How long a thread may take to end after `quit`, in milliseconds. */
const QUIT_MS = 2_000;

/** What the group needs. */
export interface ThreadGroupParts {
  readonly clock: Clock;
  /** Publishes in the name of the process. */
  readonly publish: Publish;
  /** How many threads. */
  readonly threads: number;
  /** The kinds of shards that the services will need. */
  readonly kinds: readonly string[];
  /** The main file of a thread, which calls `runThread`. */
  readonly script: URL;
  /** CPU time after which a tick that has not ended is taken for one that never will. 10 s. */
  readonly hangCpuMs?: number;
}

interface ThreadSlot {
  readonly number: number;
  /** Those of the thread; each has its own, since one that was replaced may go on for a while. */
  marks: Marks;
  readonly watchdog: ThreadWatchdog;
  /** Undefined while the thread is dead. */
  thread: ThreadHandle | undefined;
  startedAt: number;
  /** Deaths in a row, each before it was stable. */
  deaths: number;
  cancelRestart: () => void;
}

/** All threads of the process. Its services must have ended before disposal. */
export class ThreadGroup implements AsyncDisposable {
  readonly libc = new Libc();
  readonly clock: Clock;
  readonly #parts: ThreadGroupParts;
  readonly #memory: ThreadMemory;
  readonly #seats: readonly ThreadSlot[];
  readonly #services = new Map<number, ShardedService>();
  #lastService = 0;
  #cancelLook: () => void = () => {};
  #isStopping = false;

  /** Starts the threads. Throws if that is not possible. */
  constructor(parts: ThreadGroupParts) {
    this.#parts = parts;
    this.clock = parts.clock;
    this.#memory = newThreadMemory(parts.threads);
    this.#seats = Array.from({ length: parts.threads }, (_, number) => {
      this.#memory.eventfds[number] = this.libc.eventfd();
      return {
        number,
        marks: newMarks(),
        watchdog: new ThreadWatchdog(this.#memory.beats, number, parts.hangCpuMs ?? HANG_CPU_MS),
        thread: undefined,
        startedAt: 0,
        deaths: 0,
        cancelRestart: () => {},
      };
    });
    for (const seat of this.#seats) this.#start(seat);
    this.#lookLater();
  }

  /** How many threads there are, dead ones included. */
  get threads(): number {
    return this.#seats.length;
  }

  /** Begins a service in all threads. */
  addService(spec: ServiceSpec): ShardedService {
    const id = ++this.#lastService;
    const service = new ShardedService(id, spec, this, () => this.#services.delete(id));
    this.#services.set(id, service);
    return service;
  }

  /** What `send` of each living thread returns. */
  sendAll(content: EnvelopeContent): Promise<void>[] {
    return this.#seats.map(({ thread }) => thread?.send(content) ?? Promise.resolve());
  }

  /** Sends to one thread, if it lives. */
  sendOne(thread: number, content: EnvelopeContent): void {
    void this.#seats[thread]?.thread?.send(content);
  }

  /** All threads look for clients at their listening sockets: another process may have left some in the queues. */
  look(): void {
    this.sendAll({ look: true });
  }

  /** These descriptors are a thread's from now on: it closes them, or they are closed when it dies. */
  give(thread: number, descriptors: readonly number[]): void {
    const { marks } = this.#seats[thread]!;
    for (const fd of descriptors) marks[fd] = 1;
  }

  /** The numbers of the threads that live. */
  get living(): number[] {
    return this.#seats.filter(({ thread }) => thread !== undefined).map(({ number }) => number);
  }

  /** Ends all threads, whose services must have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.#cancelLook();
    for (const seat of this.#seats) seat.cancelRestart();
    const threads = this.#seats.map(({ thread }) => thread);
    this.sendAll({ quit: true });
    const cancel = this.#parts.clock.after(QUIT_MS, () => {
      for (const thread of threads) thread?.declareDead("it does not end");
    });
    await Promise.allSettled(threads.map((thread) => thread?.ended));
    cancel();
    for (const eventfd of this.#memory.eventfds) this.libc.close(eventfd);
    for (const { watchdog } of this.#seats) watchdog[Symbol.dispose]();
    this.libc[Symbol.dispose]();
  }

  #start(seat: ThreadSlot): void {
    const { clock, script, kinds } = this.#parts;
    const { number, watchdog } = seat;
    const marks = seat.marks = marksForNext(seat.marks);
    const hear = (message: ThreadMessage) => this.#hear(number, message);
    watchdog.reset();
    let thread: ThreadHandle;
    try {
      const memory = this.#memory;
      thread = new ThreadHandle({
        libc: this.libc,
        script,
        number,
        kinds,
        memory,
        marks,
        onMessage: hear,
      });
    } catch (error) {
      // The first start fails the group. Later ones lack descriptors or threads, and are tried again.
      if (seat.deaths === 0) throw error;
      return this.#died(seat, error);
    }
    seat.thread = thread;
    seat.startedAt = clock.now();
    thread.ended.then(
      () => this.#isStopping || this.#died(seat, "it ended by itself"),
      (error) => this.#died(seat, error),
    );
    for (const service of this.#services.values()) service.enter(thread);
  }

  #hear(number: number, message: ThreadMessage): void {
    if (message.is === "report") {
      this.#services.get(message.service)?.onReport(number, message.report);
    } else if (message.is === "faulted") {
      this.#parts.publish({ type: "proxy.faulted", reason: message.reason });
    }
  }

  #died(seat: ThreadSlot, error: unknown): void {
    const { clock, publish } = this.#parts;
    if (clock.now() - seat.startedAt > STABLE_MS) seat.deaths = 0;
    seat.thread = undefined;
    const wake = (thread: number) => this.libc.wake(this.#memory.eventfds[thread]!);
    let sessions = 0;
    for (const service of this.#services.values()) sessions += service.died(seat.number, wake);
    const retryInMs = backoffMs(++seat.deaths, RESTART_MAX_MS, RESTART_FIRST_MS);
    publish({
      type: "worker.died",
      worker: seat.number + 1,
      sessions,
      reason: error instanceof Error ? error.message : String(error),
      retryInMs,
    });
    if (this.#isStopping) return;
    // The kernel may have reported waiting clients to the dead thread only.
    this.sendAll({ look: true });
    seat.cancelRestart = clock.after(retryInMs, () => this.#start(seat));
  }

  #lookLater(): void {
    this.#cancelLook = this.#parts.clock.after(LOOK_MS, () => {
      for (const seat of this.#seats) if (seat.thread !== undefined) this.#look(seat, seat.thread);
      this.#lookLater();
    });
  }

  #look({ number, watchdog }: ThreadSlot, thread: ThreadHandle): void {
    const { clock, publish } = this.#parts;
    const found = watchdog.check(clock.now());
    if (found.is === "starved") {
      publish({ type: "worker.starved", worker: number + 1, forMs: found.forMs });
    } else if (found.is === "dead") {
      thread.terminate();
      // It may take a moment to end, in which its descriptors are still in use.
      clock.after(LOOK_MS, () => thread.declareDead(found.reason));
    }
  }
}
