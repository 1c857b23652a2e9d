/**
 * A thread whose shards report each order that they get. The message `die` makes the loop throw, `reject` leaves a
 * rejected promise behind, and `count` is counted.
 */
import type { Shard, ShardContext, ShardKind } from "../shard.ts";
import { runThread } from "../thread.ts";

function noting(hasPromises: boolean): ShardKind {
  const make = (settings: unknown, context: ShardContext): Shard => {
    const report = (what: unknown) => context.report({ is: "message", what });
    report(["begun", settings]);
    return {
      execute(order) {
        const what = order.do === "message" ? order.what : order.do;
        if (what === "count") context.counters[0]!++;
        if (what === "reject") Promise.reject(new Error("nobody awaits this"));
        if (what === "die") {
          context.loop.again({
            queued: false,
            run() {
              throw new Error("a bug, made by a test");
            },
          });
        }
        report(order.do === "configure" ? `configure ${context.limits[0]!.max}` : what);
        if (order.do === "stop") context.report({ is: "stopped", cut: 2 });
      },
      look: () => report("look"),
    };
  };
  return { make, hasPromises };
}

runThread({
  plain: () => Promise.resolve(noting(false)),
  promising: () => Promise.resolve(noting(true)),
});
