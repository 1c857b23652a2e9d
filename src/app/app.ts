/**
 * The composition root: from a config to running services and back down again. Everything is built here,
 * and nothing here decides anything.
 */
import type { ServiceView } from "../admin/view.ts";
import { type Address, formatAddress } from "../base/address.ts";
import { realClock } from "../base/clock.ts";
import { whenAborted } from "../base/deadline.ts";
import type { Config, ServiceConfig } from "../config/options.ts";
import type { ProgramFiles } from "./files.ts";
import { Programs } from "../hooks/program.ts";
import type { Sink } from "../report/log.ts";
import { tryBind } from "../net/deno/bind.ts";
import { Reports } from "./reports.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import type { Starter } from "./service.ts";
import { shareDescriptors } from "./shares.ts";
import { Supervisor } from "./supervisor.ts";
import { describe } from "../base/describe.ts";
import type { ReportUncaught } from "./uncaught.ts";

/** What the outside may ask of a running program. */
export interface Orders {
  /** Aborted when the program should end; the reason is a word for the log. */
  readonly stop: AbortSignal;
  /** Aborted when it should end without waiting for anybody. */
  readonly stopNow: AbortSignal;
  /** Called with what to do when the operator wants the best rank back. */
  onFailbackOrder(failback: () => void): void;
  /** Called once, with what to tell of faults that nobody in the process caught. */
  onUncaught(report: ReportUncaught): void;
}

export interface Outcome {
  readonly exitCode: 0 | 1 | 2;
  /** For stderr: what kept the program from running. */
  readonly lines: readonly string[];
}

/** The same fault of our own is told this often at most. */
const UNCAUGHT_EVERY_MS = 10_000;

/** What a run begins with: options that are good, as are the files that they name. */
export interface Given {
  readonly config: Config;
  /** About the options. */
  readonly warnings: readonly string[];
  /** For each service, in order. */
  readonly programs: readonly ProgramFiles[];
}

/** Runs all services until told to stop. Resolves when everything has ended. */
export async function run(
  { config, warnings, programs }: Given,
  version: string,
  orders: Orders,
  stderr: Sink,
): Promise<Outcome> {
  const plans = await Promise.all(config.services.map(async (service, index): Promise<Plan> => ({
    config: service,
    starter: await starterFor(service),
    ...programs[index]!,
  })));
  const taken = await takenAddresses(plans, config);
  if (taken.length > 0) return { exitCode: 1, lines: taken };

  await using reports = new Reports(config, version, stderr, realClock);
  const { events } = reports;
  const faults = new LogLimiter(UNCAUGHT_EVERY_MS);
  orders.onUncaught((reason) => {
    if (faults.allow(reason, realClock.now())) {
      events.publish("", { type: "proxy.faulted", reason });
    }
  });
  for (const warning of warnings) events.publish("", { type: "config.warned", warning });
  events.publish("", { type: "proxy.started", version, services: plans.length });
  return await serve(plans, config, reports, orders);
}

/** A line for each address on which the process is to listen and cannot. */
async function takenAddresses(plans: readonly Plan[], config: Config): Promise<string[]> {
  const lines: string[] = [];
  for (const { config: { name, origins }, starter } of plans) {
    const { listenOption, listensOn } = starter;
    const reason = await starter.tryListen();
    if (reason === undefined) continue;
    const origin = `option ${listenOption} of service ${name}, from ${origins[listenOption]}`;
    lines.push(`Cannot listen on ${listensOn}: ${reason} (${origin})`);
  }
  // Found out only when it is opened, it would stop services that have promoted an upstream already.
  const { admin, origins } = config.process;
  const reason = admin === undefined ? undefined : await tryBind(admin);
  if (reason !== undefined) lines.push(cannotOpenWindow(admin!, reason, origins.admin));
  return lines;
}

function cannotOpenWindow(admin: Address, reason: string, origin: string | undefined): string {
  return `Cannot listen on ${formatAddress(admin)}: ${reason} (option admin, from ${origin})`;
}

interface Plan extends ProgramFiles {
  readonly config: ServiceConfig;
  readonly starter: Starter;
}

/** Loads only the code of the mode that is asked for. */
async function starterFor(config: ServiceConfig): Promise<Starter> {
  if (config.mode === "tcp") return (await import("./tcp_service.ts")).tcpStarter(config);
  return (await import("./http_service.ts")).httpStarter(config);
}

async function serve(
  plans: readonly Plan[],
  config: Config,
  reports: Reports,
  orders: Orders,
): Promise<Outcome> {
  const { process: { admin, drainTimeout, socketMode, origins } } = config;
  const { events } = reports;
  await using programs = new Programs(realClock, orders.stopNow);
  const services: Supervisor[] = [];
  const stopAll = async (drainMs: number, now: AbortSignal) => {
    const cuts = await Promise.all(services.map((service) => service.stop(drainMs, now)));
    return cuts.reduce((sum, cut) => sum + cut, 0);
  };
  const instance = crypto.randomUUID().slice(0, 8);
  const shares = shareDescriptors(plans.map(({ config: { name, origins }, starter: { need } }) => ({
    need,
    isExplicit: origins.maxConnections !== "default",
    publish: events.scope(name),
  })));
  for (const [place, plan] of plans.entries()) {
    const service = await startPlan(plan, {
      programs,
      instance,
      drainMs: drainTimeout,
      reports,
      socketMode,
      connectionsMax: shares.clients[place]!,
    });
    if (typeof service === "string") {
      await stopAll(0, AbortSignal.abort());
      // All options were good when they were looked at, so something has changed since.
      return { exitCode: 1, lines: [service] };
    }
    services.push(service);
    reports.views.push(service.view);
  }
  const window = admin === undefined ? undefined : await reports.openWindow(admin, shares.admin);
  if (typeof window === "string") {
    await stopAll(0, AbortSignal.abort());
    return { exitCode: 1, lines: [cannotOpenWindow(admin!, window, origins.admin)] };
  }
  window?.finished.catch((error) => {
    events.publish("", {
      type: "proxy.faulted",
      reason: `the admin listener ended: ${describe(error)}`,
    });
  });
  orders.onFailbackOrder(() => services.forEach((service) => service.view.failback()));

  await whenAborted(orders.stop);
  const reason = String(orders.stop.reason);
  const sessions = services.reduce((sum, { view }) => sum + (view.counters().active ?? 0), 0);
  events.publish("", { type: "proxy.stopping", reason, sessions, drainMs: drainTimeout });
  const cutSessions = await stopAll(drainTimeout, orders.stopNow);
  events.publish("", { type: "proxy.stopped", cutSessions });
  return { exitCode: 0, lines: [] };
}

function startPlan(
  { config: { name }, starter, warnings, triggerWarnings }: Plan,
  { reports, ...rest }: {
    readonly programs: Programs;
    readonly instance: string;
    readonly drainMs: number;
    readonly reports: Reports;
    readonly socketMode: number;
    readonly connectionsMax: number;
  },
): Promise<Supervisor | string> {
  const publish = reports.events.scope(name);
  for (const warning of warnings) publish({ type: "config.warned", warning });
  const publicWindow = (view: ServiceView) => reports.publicWindow(view);
  return Supervisor.start(starter, {
    clock: realClock,
    publish,
    triggerWarnings,
    publicWindow,
    ...rest,
  });
}
