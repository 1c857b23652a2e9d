/** Limits that a test process sets for itself, by system calls (Linux only). */

const RESOURCES = { processes: 6, descriptors: 7 } as const;
/** A user that owns nothing: the limit of processes does not hold for root (setrlimit(2)). */
const NOBODY = 65_534;

/** Limits a resource of this process to `most` from now on (setrlimit(2)). */
export function limit(what: keyof typeof RESOURCES, most: number): void {
  if (what === "descriptors") openSignals();
  using libc = openLibc();
  const soft = BigInt(most);
  if (libc.symbols.setrlimit(RESOURCES[what], new BigUint64Array([soft, soft])) !== 0) {
    throw new Error(`Cannot limit ${what} to ${most}`);
  }
}

/**
 * Deno opens two descriptors for signals, by itself a moment after its start, and ends the process if it cannot: here it
 * opens them at once, and keeps them.
 */
function openSignals(): void {
  const ignored = () => {};
  Deno.addSignalListener("SIGTERM", ignored);
  Deno.removeSignalListener("SIGTERM", ignored);
}

/**
 * From now on this process can start neither processes nor threads: the limit of its user, which counts both,
 * is exceeded (RLIMIT_NPROC). Root must have been left before. The returned function undoes that.
 */
export function forbidProcesses(): () => void {
  using libc = openLibc();
  const before = new BigUint64Array(2);
  if (libc.symbols.getrlimit(RESOURCES.processes, before) !== 0) throw new Error("Cannot ask");
  set(new BigUint64Array([1n, before[1]!]));
  return () => set(before);
}

function set(processes: BigUint64Array<ArrayBuffer>): void {
  using libc = openLibc();
  if (libc.symbols.setrlimit(RESOURCES.processes, processes) !== 0) {
    throw new Error(`Cannot limit processes to ${processes[0]}`);
  }
}

/**
 * From now on this process can open nothing, also if the runtime closes something meanwhile; the returned function
 * undoes that.
 */
export function forbidDescriptors(): () => void {
  const libc = openLibc();
  const before = new BigUint64Array(2);
  const set = (limits: BigUint64Array<ArrayBuffer>) => {
    if (libc.symbols.setrlimit(RESOURCES.descriptors, limits) !== 0) throw new Error("Cannot set");
  };
  if (libc.symbols.getrlimit(RESOURCES.descriptors, before) !== 0) throw new Error("Cannot ask");
  set(new BigUint64Array([0n, before[1]!]));
  return () => {
    set(before);
    libc[Symbol.dispose]();
  };
}

/** Gives up being root, permanently; does nothing for any other user (setuid(2)). */
export function leaveRoot(): void {
  using libc = openLibc();
  if (libc.symbols.getuid() !== 0) return;
  if (libc.symbols.setuid(NOBODY) !== 0) throw new Error("Cannot leave root");
}

/** Opens descriptors until there are no more than `free`; the returned function closes them. */
export function useUpDescriptors(free: number): () => void {
  const held: Deno.FsFile[] = [];
  for (;;) {
    try {
      held.push(Deno.openSync("/dev/null"));
    } catch (error) {
      if ((error as { code?: string }).code !== "EMFILE") throw error;
      break;
    }
  }
  for (const file of held.splice(0, free)) file.close();
  return () => {
    for (const file of held) file.close();
  };
}

function openLibc() {
  const library = Deno.dlopen("libc.so.6", {
    getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    getuid: { parameters: [], result: "u32" },
    setuid: { parameters: ["u32"], result: "i32" },
  });
  return { symbols: library.symbols, [Symbol.dispose]: () => library.close() };
}
