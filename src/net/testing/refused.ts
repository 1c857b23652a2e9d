/** Waits until nobody listens at a port any more. */
import { realClock, sleep } from "../../base/clock.ts";

const TEST_DEADLINE_MS = 60_000;

/**
 * Resolves when a connection is refused, or when the connect fails otherwise. While another thread of the process
 * starts a program, that has a copy of each descriptor until it begins, so that a listener which was closed here still
 * accepts for a moment. Tests run at the same time, and many start programs.
 */
export async function untilRefused(port: number, hostname = "127.0.0.1"): Promise<void> {
  const end = realClock.now() + TEST_DEADLINE_MS;
  for (;;) {
    try {
      (await Deno.connect({ hostname, port })).close();
    } catch {
      return;
    }
    if (realClock.now() > end) throw new Error(`somebody listens on port ${port}`);
    await sleep(realClock, 1);
  }
}
