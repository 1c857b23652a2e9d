/** The drains of the splice engine in one thread, with the timers of its loop. */
import type { Event } from "../../events/events.ts";
import { DrainRunner } from "../../failover/drain_runner.ts";
import type { Loop } from "../../linux/loop.ts";
import { timed } from "../../linux/timer_wheel.ts";
import type { SharedCounters } from "../../threads/memory.ts";
import { COUNT } from "./counters.ts";
import { isConcerned } from "./relay_parts.ts";
import type { SpliceSession } from "./session.ts";

/** Makes the drains of the sessions in `sessions`. */
export function spliceDrains(
  sessions: readonly SpliceSession[],
  loop: Loop,
  counters: SharedCounters,
  publish: (event: Event) => void,
): DrainRunner<SpliceSession> {
  return new DrainRunner({
    concerned: (order) => sessions.filter((session) => isConcerned(session, order)),
    hasMoved: (session, ms) => loop.now - session.lastMoved < ms,
    cut: (session) => session.cut(),
    after: (ms, run) => {
      const deadline = timed(run);
      loop.after(deadline, ms);
      return () => loop.cancel(deadline);
    },
    countCut: (count) => counters[COUNT.cut]! += count,
    publish,
  });
}
