/**
 * One child process: its output line by line, its end, and the guarantee that it does not outlive the test.
 * Signals are only sent to the process that was started here.
 */

import { realClock, sleep } from "../../src/base/clock.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** Yields a stream's text line by line; a last line without its end counts too. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    text = lines.pop()!;
    yield* lines;
  }
  if (text !== "") yield text;
}

export interface ChildOptions {
  readonly args: readonly string[];
  /** Added to the environment of this process, without the variables that would configure the child. */
  readonly env?: Readonly<Record<string, string>>;
  readonly onOut?: (line: string) => void;
  readonly onErr?: (line: string) => void;
}

/**
 * Variables that would configure the child. It may need all others (caches, certificates, proxies), and
 * FAILOVER_CONTROL, which the harness sets.
 */
const ENV_WITHHELD = /^(PORT|HOSTS|MAX_BACKOFF|(FAILOVER(?!_CONTROL$)|PG|REDISCLI_).*)$/;

export class Child implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;
  /** Resolves when the process has ended and all of its output was handed out. */
  readonly ended: Promise<Deno.CommandStatus>;
  #hasEnded = false;
  #isSilent = false;

  constructor(program: string, options: ChildOptions) {
    const kept = Object.entries(Deno.env.toObject()).filter(([name]) => !ENV_WITHHELD.test(name));
    this.#process = new Deno.Command(program, {
      args: [...options.args],
      env: { ...Object.fromEntries(kept), ...options.env },
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#reading = Promise.all([
      handOut(this.#process.stdout, options.onOut),
      handOut(this.#process.stderr, options.onErr),
    ]);
    this.ended = this.#process.status.then(async (status) => {
      this.#hasEnded = true;
      await this.#reading;
      this.#isSilent = true;
      return status;
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** True when nobody can write to its output any more; a process that took its place could. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Sends a signal, unless the process has ended already. */
  signal(signal: Deno.Signal): void {
    if (this.#hasEnded) return;
    try {
      this.#process.kill(signal);
    } catch (error) {
      // It has ended, and `ended` is not told yet.
      const isOver = error instanceof TypeError || error instanceof Deno.errors.NotFound ||
        error instanceof Deno.errors.BadResource;
      if (!isOver) throw error;
    }
  }

  /**
   * Stops all of its threads; resolves when none of them runs any more. Until the first one has got its turn to handle
   * the signal, which may take long on a busy machine, all others go on. Linux only.
   */
  async freeze(): Promise<void> {
    this.signal("SIGSTOP");
    await untilStopped(this.pid);
  }

  thaw(): void {
    this.signal("SIGCONT");
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function handOut(
  stream: ReadableStream<Uint8Array>,
  take: (line: string) => void = () => {},
): Promise<void> {
  for await (const line of linesOf(stream)) take(line);
}

/** Sends a signal to a process that this one may not have started, unless it has ended already. */
export function signalIfThere(pid: number, signal: Deno.Signal): void {
  if (!isAlive(String(pid))) return;
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    // It has ended since.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Whether a process runs; one that has ended and was not yet reaped does not. Linux only. */
export function isAlive(pid: string): boolean {
  return !/^[ZX]?$/.test(stateOf(pid));
}

/** The letter for the state of a process, see proc(5); empty if there is none. */
function stateOf(pid: string): string {
  const status = unlessGone(() => Deno.readTextFileSync(`/proc/${pid}/status`));
  return /^State:\s+(\w)/m.exec(status ?? "")?.[1] ?? "";
}

/** What `read` reads in /proc, or undefined if the process is gone. */
function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    // ESRCH, for which Deno has no class: the process ended between open(2) and read(2), see proc(5).
    if (error instanceof Error && error.message.endsWith("(os error 3)")) return undefined;
    throw error;
  }
}

/** Resolves when no thread of a process runs any more. Linux only. */
export async function untilStopped(pid: number): Promise<void> {
  const threads = () => unlessGone(() => [...Deno.readDirSync(`/proc/${pid}/task`)]) ?? [];
  const isStopped = (thread: string) => /^[TtZX]?$/.test(stateOf(`${pid}/task/${thread}`));
  const looking = async () => {
    while (!threads().every(({ name }) => isStopped(name))) await sleep(realClock, 5);
  };
  await withTestDeadline("a process to be stopped", looking());
}

/** Resolves when none of these processes runs: one that was sent SIGKILL ends a moment later. Linux only. */
export async function untilGone(pids: readonly string[]): Promise<void> {
  const left = () => pids.filter(isAlive);
  const looking = async () => {
    while (left().length > 0) await sleep(realClock, 10);
  };
  await withTestDeadline("processes to end", looking(), () => left().join(" "));
}
