/** What we ask of V8's garbage collector, which otherwise decides for itself. */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** A larger heap is not collected by order: the thread would stand still for too long. About 15 ms. */
const HEAP_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Frees what nothing refers to any more, such as what only the start of this thread needed: V8 alone would leave it
 * until much more was allocated. The thread stands still meanwhile, for some milliseconds.
 */
export function collectGarbage(): void {
  if (getHeapStatistics().used_heap_size > HEAP_BYTES_MAX) return;
  setFlagsFromString("--expose-gc"); // contexts that are made from now on have `gc`
  const gc: () => void = runInNewContext("gc");
  gc();
}

/**
 * From now on the young objects of each thread are collected by that thread alone. They are few, and with helpers it
 * takes several times as long: the thread would have to wait until each of them has got a core.
 */
export function collectAlone(): void {
  setFlagsFromString("--no-parallel-scavenge");
}
