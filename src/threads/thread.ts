/**
 * What a thread runs: one loop, the guests of all services, orders in and reports out. A thread without guests
 * that use promises never yields to its own event loop. It ends on order, or with a bug in its loop, which it
 * reports to the main thread.
 */
import type { MessagePort } from "node:worker_threads";
import { realClock } from "../base/clock.ts";
import { describe } from "../base/describe.ts";
import { Loop } from "../linux/loop.ts";
import { Mailbox } from "../linux/mailbox.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import { TrackedLibc } from "../linux/tracked_libc.ts";
import { EmbeddedLoop } from "../net/linux/embedded_loop.ts";
import type { Guest, GuestKind, GuestKinds, Surroundings } from "./guest.ts";
import { BEAT, BEATS, THREAD_ID } from "./memory.ts";
import type { Engagement, Envelope, Report, Start, ThreadMessage } from "./messages.ts";
import { SharedPlaces } from "./places.ts";

// The part of a worker's global scope that is used here; the document's own `self` is typed in its stead.
const scope = self as unknown as {
  onmessage: ((event: MessageEvent<Start>) => void) | null;
  postMessage(message: ThreadMessage): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(
    type: "unhandledrejection",
    listener: (event: PromiseRejectionEvent) => void,
  ): void;
};

/** Makes this worker a thread with guests of these kinds, as soon as it gets its start message. */
export function runThread(kinds: GuestKinds): void {
  scope.onmessage = async ({ data }) => {
    scope.onmessage = null;
    let last: ThreadMessage;
    try {
      await serve(data, kinds);
      last = { is: "quit" };
    } catch (error) {
      // If it were thrown again, Deno would print it with its stack on stderr.
      last = { is: "died", reason: describe(error) };
    }
    scope.postMessage(last);
  };
}

/** Runs until `quit`; everything that the thread opened is closed when this resolves. */
async function serve(start: Start, kinds: GuestKinds): Promise<void> {
  const { number, memory: { beats } } = start;
  {
    using process = new ProcessLibc();
    beats[number * BEATS + THREAD_ID] = process.threadId();
  }
  const loaded = new Map<string, GuestKind>();
  for (const kind of start.kinds) loaded.set(kind, await kinds[kind]!());
  using libc = new TrackedLibc(start.marks);
  const loop = new Loop(libc);
  const hasPromises = [...loaded.values()].some((kind) => kind.hasPromises);
  let outside = 0;
  const embedded = hasPromises
    ? new EmbeddedLoop(loop, libc, realClock, () => outside === 0)
    : undefined;
  const guests = new Guests(start, loaded, (thread) => libc.wake(start.memory.eventfds[thread]!), {
    loop,
    embedded,
    outside: () => {
      outside++;
      return () => outside--;
    },
  });
  const port = start.port as unknown as MessagePort; // the same object; node's types know it under their name
  new Mailbox<Envelope>(libc, loop, start.memory.eventfds[number]!, port, {
    read: (envelope) => guests.obey(envelope),
    woken: () => guests.look(),
  });
  const beat = () => {
    beats[number * BEATS + BEAT]!++;
    guests.count();
  };
  if (embedded === undefined) return loop.run(beat);
  catchBugs();
  embedded.beat = beat;
  await embedded.finished;
}

/** A bug in one exchange must not end the thread. */
function catchBugs(): void {
  const caught = (error: unknown) => scope.postMessage({ is: "faulted", reason: describe(error) });
  scope.addEventListener("error", (event) => {
    event.preventDefault();
    caught(event.error);
  });
  scope.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    caught(event.reason);
  });
}

/** Under load the counters are written only this often, in milliseconds. */
const COUNT_MS = 5;

/** What all guests of a thread share. */
type Around = Pick<Surroundings, "loop" | "embedded" | "outside">;

/** The guests of one thread. */
class Guests {
  readonly #start: Start;
  readonly #kinds: ReadonlyMap<string, GuestKind>;
  readonly #wake: (thread: number) => void;
  readonly #around: Around;
  readonly #guests = new Map<number, Guest>();
  readonly #counting = new Set<Guest>();
  #countedAt = 0;

  constructor(
    start: Start,
    kinds: ReadonlyMap<string, GuestKind>,
    wake: (thread: number) => void,
    around: Around,
  ) {
    this.#start = start;
    this.#kinds = kinds;
    this.#wake = wake;
    this.#around = around;
  }

  obey(envelope: Envelope): void {
    if ("order" in envelope) this.#guests.get(envelope.service)?.obey(envelope.order);
    else if ("engagement" in envelope) this.#engage(envelope.service, envelope.engagement);
    else if ("look" in envelope) this.look();
    else this.#quit();
    scope.postMessage({ is: "done", id: envelope.id });
  }

  /** Places may have become free, or another thread may have died with clients in the accept queues. */
  look(): void {
    for (const guest of this.#guests.values()) guest.look();
  }

  count(): void {
    const { loop } = this.#around;
    if (this.#counting.size === 0) return;
    if (loop.hasMore && loop.now - this.#countedAt < COUNT_MS) return;
    this.#countedAt = loop.now;
    for (const guest of this.#counting) guest.count!();
  }

  #engage(service: number, { kind, settings, memory }: Engagement): void {
    const { number } = this.#start;
    const guest = this.#kinds.get(kind)!.make(settings, {
      ...this.#around,
      counters: memory.counters[number]!,
      limits: memory.limits.map(({ cells, max }) =>
        new SharedPlaces(cells, max, number, this.#wake)
      ),
      report: (report: Report) => {
        if (report.is === "stopped") this.#forget(service);
        scope.postMessage({ is: "report", service, report });
      },
    });
    this.#guests.set(service, guest);
    if (guest.count !== undefined) this.#counting.add(guest);
  }

  #forget(service: number): void {
    const guest = this.#guests.get(service);
    guest?.count?.();
    if (guest !== undefined) this.#counting.delete(guest);
    this.#guests.delete(service);
  }

  #quit(): void {
    const { loop, embedded } = this.#around;
    if (embedded === undefined) loop.stop();
    else void embedded.stop();
  }
}
