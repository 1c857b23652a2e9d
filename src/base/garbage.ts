/** Controls V8's garbage collector, which otherwise decides by itself when to run. */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** A larger heap is not collected on demand, because the thread would stop for too long (15 ms at this size). */
const HEAP_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Frees all objects that are no longer referenced, such as those that only the start of this thread needed; V8
 * itself would do that only after many more allocations. The thread stops for some milliseconds.
 */
export function collectGarbage(): void {
  if (getHeapStatistics().used_heap_size > HEAP_BYTES_MAX) return;
  try {
    setFlagsFromString("--expose-gc"); // contexts that are made from now on have `gc`
    const gc: () => void = runInNewContext("gc");
    gc();
  } catch {
    // A runtime that has no such flag frees it later, by itself.
  }
}

/**
 * From now on each thread collects its young generation without helper threads. There are few young objects, and
 * with helpers it takes several times as long, because the thread waits until each helper has a core.
 */
export function collectAlone(): void {
  setFlagsFromString("--no-parallel-scavenge");
}
