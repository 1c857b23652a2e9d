/** The end of a process: on order, or because another one has taken over. Part of the composition root. */
import { realClock, sleep } from "../base/clock.ts";
import { whenAborted } from "../base/deadline.ts";
import type { ProcessConfig } from "../config/options.ts";
import type { Successor } from "../upgrade/upgrade.ts";
import type { Orders, RunOutcome } from "./app.ts";
import type { Fleet } from "./fleet.ts";
import type { Reloader } from "./reload.ts";
import type { Replacement } from "./replacement.ts";
import type { Reports } from "./reports.ts";
import type { ServiceManager } from "./service_manager.ts";

/** What runs. */
export interface EndParts {
  readonly reports: Reports;
  readonly fleet: Fleet;
  readonly reloader: Reloader;
  readonly replacement: Replacement;
  readonly orders: Orders;
  readonly manager: ServiceManager;
}

type Times = Pick<ProcessConfig, "drainDelay" | "drainTimeout">;

/** Serves until the process is to end or another one has taken over, and resolves when everything has ended. */
export async function untilTheEnd(running: EndParts): Promise<RunOutcome> {
  const { orders, replacement, reloader } = running;
  const first = await Promise.race([
    replacement.done,
    whenAborted(orders.stop).then(() => undefined),
  ]);
  // An upgrade that is under way is ended first, so that never two processes decide.
  const successor = first ?? await replacement.stop();
  await reloader.stop();
  const times = reloader.config.process;
  const cutSessions = successor === undefined
    ? await stop(times, running)
    : await leave(times, running, successor);
  running.reports.events.publish("", { type: "proxy.stopped", cutSessions });
  return { exitCode: 0, lines: [] };
}

async function stop(
  { drainDelay, drainTimeout }: Times,
  { reports, fleet, orders, manager }: EndParts,
): Promise<number> {
  manager.stopping();
  reports.isStopping = true;
  // Clients are served meanwhile.
  if (drainDelay > 0) await sleep(realClock, drainDelay, orders.stopNow).catch(() => {});
  const reason = String(orders.stop.reason);
  const { sessions } = fleet;
  reports.events.publish("", { type: "proxy.stopping", reason, sessions, drainMs: drainTimeout });
  return await fleet.stop(drainTimeout, orders.stopNow);
}

async function leave(
  { drainTimeout: drainMs }: Times,
  { reports, fleet, orders, replacement, manager }: EndParts,
  successor: Successor,
): Promise<number> {
  reports.isStopping = true;
  reports.leave();
  manager.handOver(successor.pid);
  const { pid: toPid, version: to } = successor;
  const [from, fromPid, sessions] = [replacement.version, Deno.pid, fleet.sessions];
  reports.events.publish("", {
    type: "upgrade.handedOver",
    ...{ from, fromPid, to, toPid, sessions, drainMs },
  });
  const cut = await fleet.leave(successor.passOn, drainMs, orders.stopNow);
  await successor.end();
  return cut;
}
