/**
 * What a thread runs: one loop, the shards of all services, orders in and reports out. A thread without shards
 * that use promises never yields to its own event loop. It ends on order, or with a bug in its loop, which it
 * reports to the main thread.
 */
import type { MessagePort } from "node:worker_threads";
import { realClock } from "../base/clock.ts";
import { describe } from "../base/describe.ts";
import { collectGarbage } from "../base/garbage.ts";
import { Loop } from "../linux/loop.ts";
import { Mailbox } from "../linux/mailbox.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import { timed } from "../linux/timer_wheel.ts";
import { TrackedLibc } from "../linux/tracked_libc.ts";
import { EmbeddedLoop } from "../net/linux/embedded_loop.ts";
import type { Shard, ShardContext, ShardKind, ShardKinds } from "./shard.ts";
import { BEAT, BEATS, THREAD_ID } from "./memory.ts";
import type {
  Envelope,
  ShardOrder,
  ShardReport,
  ShardSpec,
  ThreadMessage,
  ThreadStart,
} from "./messages.ts";
import { SharedSemaphore } from "./shared_semaphore.ts";

// The part of a worker's global scope that is used here; the document's own `self` is typed in its stead.
const scope = self as unknown as {
  onmessage: ((event: MessageEvent<ThreadStart>) => void) | null;
  postMessage(message: ThreadMessage): void;
  addEventListener(type: "error", listener: (event: ErrorEvent) => void): void;
  addEventListener(
    type: "unhandledrejection",
    listener: (event: PromiseRejectionEvent) => void,
  ): void;
};

/** Makes this worker a thread with shards of these kinds, as soon as it gets its start message. */
export function runThread(kinds: ShardKinds): void {
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

/** When everything has started, in milliseconds after the start. */
const STARTED_MS = 2_500;

/** Runs until `quit`; everything that the thread opened is closed when this resolves. */
async function serve(start: ThreadStart, kinds: ShardKinds): Promise<void> {
  const { number, memory: { beats } } = start;
  {
    using process = new ProcessLibc();
    beats[number * BEATS + THREAD_ID] = process.threadId();
  }
  const loaded = new Map<string, ShardKind>();
  for (const kind of start.kinds) loaded.set(kind, await kinds[kind]!());
  using libc = new TrackedLibc(start.marks);
  const loop = new Loop(libc);
  const hasPromises = [...loaded.values()].some((kind) => kind.hasPromises);
  let outside = 0;
  const embedded = hasPromises
    ? new EmbeddedLoop(loop, libc, realClock, () => outside === 0)
    : undefined;
  const shards = new Shards(start, loaded, (thread) => libc.wake(start.memory.eventfds[thread]!), {
    loop,
    embedded,
    outside: () => {
      outside++;
      return () => outside--;
    },
  });
  const port = start.port as unknown as MessagePort; // the same object; node's types know it under their name
  new Mailbox<Envelope>(libc, loop, start.memory.eventfds[number]!, port, {
    read: (envelope) => shards.obey(envelope),
    woken: () => shards.look(),
  });
  const beat = () => {
    beats[number * BEATS + BEAT]!++;
    shards.count();
  };
  loop.after(timed(collectGarbage), STARTED_MS);
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

/** What all shards of a thread share. */
type SharedContext = Pick<ShardContext, "loop" | "embedded" | "outside">;

/** The shards of one thread. */
class Shards {
  readonly #start: ThreadStart;
  readonly #kinds: ReadonlyMap<string, ShardKind>;
  readonly #wake: (thread: number) => void;
  readonly #context: SharedContext;
  readonly #shards = new Map<number, Shard>();
  readonly #limits = new Map<number, readonly SharedSemaphore[]>();
  readonly #counting = new Set<Shard>();
  #countedAt = 0;

  constructor(
    start: ThreadStart,
    kinds: ReadonlyMap<string, ShardKind>,
    wake: (thread: number) => void,
    context: SharedContext,
  ) {
    this.#start = start;
    this.#kinds = kinds;
    this.#wake = wake;
    this.#context = context;
  }

  obey(envelope: Envelope): void {
    if ("order" in envelope) this.#execute(envelope.service, envelope.order);
    else if ("spec" in envelope) this.#begin(envelope.service, envelope.spec);
    else if ("look" in envelope) this.look();
    else this.#quit();
    scope.postMessage({ is: "done", id: envelope.id });
  }

  #execute(service: number, order: ShardOrder): void {
    if (order.do === "configure") {
      this.#limits.get(service)?.forEach((limit, at) => limit.max = order.limits[at]!);
    }
    this.#shards.get(service)?.execute(order);
  }

  /** Permits may have become free, or another thread may have died with clients in the accept queues. */
  look(): void {
    for (const shard of this.#shards.values()) shard.look();
  }

  count(): void {
    const { loop } = this.#context;
    if (this.#counting.size === 0) return;
    if (loop.hasMore && loop.now - this.#countedAt < COUNT_MS) return;
    this.#countedAt = loop.now;
    for (const shard of this.#counting) shard.count!();
  }

  #begin(service: number, { kind, settings, memory }: ShardSpec): void {
    const { number } = this.#start;
    const limits = memory.limits.map(({ cells, max }) =>
      new SharedSemaphore(cells, max, number, this.#wake)
    );
    this.#limits.set(service, limits);
    const shard = this.#kinds.get(kind)!.make(settings, {
      ...this.#context,
      counters: memory.counters[number]!,
      limits,
      report: (report: ShardReport) => {
        if (report.is === "stopped") this.#forget(service);
        scope.postMessage({ is: "report", service, report });
      },
    });
    this.#shards.set(service, shard);
    if (shard.count !== undefined) this.#counting.add(shard);
  }

  #forget(service: number): void {
    const shard = this.#shards.get(service);
    shard?.count?.();
    if (shard !== undefined) this.#counting.delete(shard);
    this.#shards.delete(service);
    this.#limits.delete(service);
  }

  #quit(): void {
    const { loop, embedded } = this.#context;
    if (embedded === undefined) loop.stop();
    else void embedded.stop();
  }
}
