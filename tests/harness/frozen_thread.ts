/**
 * Stops one thread of a child process while its other threads run, as if the machine gave it no CPU time
 * (ptrace(2)). Only the thread that stopped it can resume it.
 */
const PTRACE_DETACH = 17n;
const PTRACE_SEIZE = 0x4206n;
const PTRACE_INTERRUPT = 0x4207n;
/** Waits for threads as well as for processes (waitpid(2)). */
const WALL = 0x40000000;

/** The number of the thread named `name` in the process `pid`, as /proc shows it. */
export function threadNamed(pid: number, name: string): number {
  for (const { name: id } of Deno.readDirSync(`/proc/${pid}/task`)) {
    if (Deno.readTextFileSync(`/proc/${pid}/task/${id}/comm`).trim() === name) return Number(id);
  }
  throw new Error(`process ${pid} has no thread "${name}"`);
}

/** How often it is looked, a millisecond apart, whether a thread is idle before it is stopped in any case. */
const IDLE_TRIES_MAX = 1_000;

/** Whether a thread waits for events in the kernel. */
function isIdle(id: number): boolean {
  return Deno.readTextFileSync(`/proc/${id}/wchan`).includes("epoll");
}

/** Stops a thread until this is disposed of. Throws if the system does not allow it. */
export class FrozenThread implements Disposable {
  readonly #c = Deno.dlopen("libc.so.6", {
    ptrace: { parameters: ["i64", "i32", "usize", "usize"], result: "i64" },
    waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  });
  readonly #id: number;

  constructor(id: number) {
    this.#id = id;
    // One that is at work may hold a lock that the other threads need.
    const nap = new Int32Array(new SharedArrayBuffer(4));
    for (let tries = 0; tries < IDLE_TRIES_MAX && !isIdle(id); tries++) Atomics.wait(nap, 0, 0, 1);
    this.#ask("PTRACE_SEIZE", PTRACE_SEIZE);
    this.#ask("PTRACE_INTERRUPT", PTRACE_INTERRUPT);
    // A thread that sleeps in the kernel is woken and then stops.
    const status = new Int32Array(1);
    if (this.#c.symbols.waitpid(id, status, WALL) !== id) throw new Error("it does not stop");
  }

  [Symbol.dispose](): void {
    this.#ask("PTRACE_DETACH", PTRACE_DETACH);
    this.#c.close();
  }

  #ask(name: string, request: bigint): void {
    if (this.#c.symbols.ptrace(request, this.#id, 0n, 0n) === 0n) return;
    throw new Error(`${name} of thread ${this.#id} failed`);
  }
}
