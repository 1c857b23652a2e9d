/** Trouble with the state folder in the log. */
import { assert } from "@std/assert";
import type { Proxy } from "./proxy.ts";

/**
 * Fails if trouble with the state folder was reported again although nothing had changed. A disk that is slow because
 * this machine is busy is another trouble.
 */
export function assertTroubleToldOnce(proxy: Proxy): void {
  const told = proxy.allEvents.flatMap((logged) => {
    if (logged.event === "state.failed") return [(logged as { reason?: string }).reason];
    return logged.event === "state.restored" ? ["restored"] : [];
  });
  const isAgain = told.some((each, at) => each === told[at - 1]);
  assert(told.length > 0 && !isAgain, told.join("\n"));
}
