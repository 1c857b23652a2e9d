/**
 * Keeps one thread of the runtime's pool for blocking work (files, name look-ups) alive. The main thread and each
 * worker have a pool of their own, which ends its threads when they have been idle for ten seconds. If it then
 * needs one, and the system has none to give (RLIMIT_NPROC, a limit of the container), the runtime ends the whole
 * process; while it has at least one thread, the work waits for that one instead.
 */
import type { Clock } from "../base/clock.ts";

/** Less than the ten seconds after which an idle thread ends, in milliseconds. */
const EVERY_MS = 4_000;

/** Uses a thread of the pool now and from time to time, until it is disposed of. `use` is for tests. */
export function keepPoolThread(
  clock: Clock,
  use: () => Promise<unknown> = () => Deno.lstat("."),
): Disposable {
  let cancel = () => {};
  const again = () => {
    // The result does not matter, and neither does a missing permission.
    use().catch(() => {});
    cancel = clock.after(EVERY_MS, again);
  };
  again();
  return { [Symbol.dispose]: () => cancel() };
}
