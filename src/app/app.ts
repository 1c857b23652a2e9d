/**
 * The composition root: builds the services of a config, runs them, and stops them. It connects the rooms
 * and decides nothing.
 */
import type { ServiceView } from "../admin/view.ts";
import { type Address, formatAddress } from "../base/address.ts";
import { realClock, sleep } from "../base/clock.ts";
import { whenAborted } from "../base/deadline.ts";
import type { Config, ServiceConfig } from "../config/options.ts";
import type { EventStream } from "../events/stream.ts";
import type { ProgramFiles } from "./files.ts";
import { CoarseClock } from "../net/coarse_clock.ts";
import { Programs } from "../hooks/program.ts";
import type { Publish } from "../events/events.ts";
import type { Sink } from "../report/log.ts";
import { tryBind } from "../net/deno/bind.ts";
import { ProcessMemory } from "./process_memory.ts";
import { keepPoolThread } from "./pool_thread.ts";
import { type Coordinate, coordinationOf } from "./coordination.ts";
import { AccessLogs } from "./access_logs.ts";
import { Reports } from "./reports.ts";
import { Libc } from "../linux/libc.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";
import type { ReceivedListeners } from "../net/handover.ts";
import { ServiceManager, type StartVariables } from "./service_manager.ts";
import { LogLimiter } from "../base/log_limiter.ts";
import { StateFolder } from "../state/state.ts";
import type { Starter } from "./service.ts";
import { type Share, shareDescriptors } from "./shares.ts";
import { Supervisor } from "./supervisor.ts";
import { describe } from "../base/describe.ts";
import { startThreads, type Threads, workersOf } from "./threads.ts";
import type { ReportUncaught } from "./uncaught.ts";

/** What signals order a running program to do: stop, fail back, open log files again. */
export interface Orders {
  /** Aborted when the program should end; the reason is a word for the log. */
  readonly stop: AbortSignal;
  /** Aborted when it should end at once, without letting sessions finish. */
  readonly stopNow: AbortSignal;
  /** Receives the function to call when the operator orders a failback. */
  onFailbackOrder(failback: () => void): void;
  /** Receives the function to call when log files are to be opened again; never called without such files. */
  onReopenOrder(reopen: () => void): void;
  /** Called once, with the function that reports uncaught errors. */
  onUncaught(report: ReportUncaught): void;
}

/**
 * How a run ended. Exit code 0: it was stopped. 1: it cannot run here now, for instance because an address is
 * in use. 2: an option or a file that it names is wrong.
 */
export interface RunOutcome {
  readonly exitCode: 0 | 1 | 2;
  /** Error lines for stderr: why the program could not run. */
  readonly lines: readonly string[];
}

/** Who ordered a failback by SIGUSR2. */
const BY_SIGNAL = { by: "the operator", reason: "" };
/** Shortest time between two reports of the same uncaught error, in milliseconds. */
const UNCAUGHT_EVERY_MS = 10_000;

/** Shared by all services. */
const coarseClock = new CoarseClock(realClock);

/** The input of a run: options that were validated, and the files that they name. */
export interface RunInput {
  readonly config: Config;
  /** Warnings about the options. */
  readonly warnings: readonly string[];
  /** The programs of each service, in the order of the services. */
  readonly programs: readonly ProgramFiles[];
  /** Where commands are taken, and whether an option says so; undefined if they are not. */
  readonly control: ControlPlace | undefined;
  /** The environment at the start, in which the service manager says what it gives. */
  readonly env: StartVariables;
}

/** Where the control socket is. */
export interface ControlPlace {
  readonly path: string;
  /** True: if it cannot be opened, the proxy runs without it. False: that is an error. */
  readonly isDefault: boolean;
}

/** Runs all services until the stop signal. Resolves when everything has ended. */
export async function run(
  { config, warnings, programs, control, env }: RunInput,
  version: string,
  orders: Orders,
  stderr: Sink,
): Promise<RunOutcome> {
  using _poolThread = keepPoolThread(realClock);
  const plans = await Promise.all(config.services.map(async (service, index): Promise<Plan> => ({
    config: service,
    starter: await starterFor(service),
    ...programs[index]!,
  })));
  using manager = await ServiceManager.from(env, config, control?.path);
  const taken = await takenAddresses(plans, config, manager.received);
  if (taken.length > 0) return { exitCode: 1, lines: taken };

  const state = await openState(config, (event) => events.publish("", event));
  if (state instanceof Array) return { exitCode: 2, lines: state };
  await using reports = new Reports(config, version, stderr, { clock: realClock, coarseClock });
  const { events } = reports;
  // What is not on disk yet is written before the log ends.
  await using _state = state;
  const faults = new LogLimiter(UNCAUGHT_EVERY_MS);
  orders.onUncaught((reason) => {
    if (faults.allow(reason, realClock.now())) {
      events.publish("", { type: "proxy.faulted", reason });
    }
  });
  manager.follow(events, () => reports.views);
  for (const warning of warnings) events.publish("", { type: "config.warned", warning });
  events.publish("", { type: "proxy.started", version, services: plans.length });
  using accessLogs = await AccessLogs.open(config, realClock, events.scope(""));
  if (accessLogs.errors.length > 0) return { exitCode: 2, lines: accessLogs.errors };
  if (accessLogs.hasFiles) orders.onReopenOrder(() => accessLogs.reopen());
  // The services start without waiting for the disk.
  reports.incidents.load().catch((error) =>
    events.publish("", { type: "proxy.faulted", reason: describe(error) })
  );
  // Only a control socket that an option asks for is opened before the services.
  const isAsked = control !== undefined && !control.isDefault;
  const line = isAsked ? await reports.listenControl(control) : undefined;
  if (line !== undefined) return { exitCode: 1, lines: [line] };
  const started = async () => {
    if (control?.isDefault) await reports.listenControl(control);
  };
  const shared = { reports, state, accessLogs, version, manager };
  return await serve(plans, config, shared, orders, started);
}

/** Opens the state folder if there is to be one. Resolves with error lines if it cannot be used. */
async function openState(
  { services, process: { stateDir, origins } }: Config,
  publish: Publish,
): Promise<StateFolder | undefined | readonly string[]> {
  if (stateDir === undefined) return undefined;
  const names = services.map(({ name }) => name);
  const opened = await StateFolder.open(stateDir, names, { clock: realClock, publish });
  if (opened instanceof StateFolder) return opened;
  return opened.map((reason) =>
    `Cannot use the state folder ${reason} (option state_dir, from ${origins.stateDir})`
  );
}

/** One error line for each address on which the process cannot listen. */
async function takenAddresses(
  plans: readonly Plan[],
  config: Config,
  received: ReceivedListeners | undefined,
): Promise<string[]> {
  const lines: string[] = [];
  // Held open, because each service would open the C library again.
  using _libc = kernelUnsupportedReason() === undefined ? new Libc() : undefined;
  for (const { config: { name, origins }, starter } of plans) {
    const { listenOption, listensOn } = starter;
    if (received?.has({ is: "service", name }, listensOn)) continue;
    const reason = await starter.tryListen();
    if (reason === undefined) continue;
    const origin = `option ${listenOption} of service ${name}, from ${origins[listenOption]}`;
    lines.push(`Cannot listen on ${listensOn}: ${reason} (${origin})`);
  }
  // Checked in advance: at the opening, the error would stop services that have already promoted an upstream.
  const { admin, origins } = config.process;
  const isThere = admin === undefined || received?.has({ is: "admin" }, formatAddress(admin));
  const reason = isThere ? undefined : await tryBind(admin);
  if (reason !== undefined) lines.push(cannotListenAdmin(admin!, reason, origins.admin));
  return lines;
}

function cannotListenAdmin(admin: Address, reason: string, origin: string | undefined): string {
  return `Cannot listen on ${formatAddress(admin)}: ${reason} (option admin, from ${origin})`;
}

interface Plan extends ProgramFiles {
  readonly config: ServiceConfig;
  readonly starter: Starter;
}

/** Loads only the code of the service's mode. */
export async function starterFor(config: ServiceConfig): Promise<Starter> {
  if (config.mode === "tcp") return (await import("./tcp_service.ts")).tcpStarter(config);
  return (await import("./http_service.ts")).httpStarter(config);
}

function sharesOf(plans: readonly Plan[], events: EventStream): Share[] {
  return plans.map(({ config: { name, origins }, starter: { need } }) => ({
    need,
    isExplicit: origins.maxConnections !== "default",
    publish: events.scope(name),
  }));
}

/** What all services of the process share. */
interface Shared {
  readonly version: string;
  readonly reports: Reports;
  readonly state: StateFolder | undefined;
  readonly accessLogs: AccessLogs;
  readonly manager: ServiceManager;
}

async function serve(
  plans: readonly Plan[],
  config: Config,
  { reports, state, accessLogs, version, manager }: Shared,
  orders: Orders,
  started: () => Promise<void>,
): Promise<RunOutcome> {
  const { admin, drainDelay, drainTimeout, socketMode, origins } = config.process;
  const { events } = reports;
  await using programs = new Programs(realClock, orders.stopNow);
  await using threads = startThreads(config.services, workersOf(config), events.scope(""));
  const services: Supervisor[] = [];
  const stopAll = async (drainMs: number, now: AbortSignal) => {
    const cuts = await Promise.all(services.map((service) => service.stop(drainMs, now)));
    return cuts.reduce((sum, cut) => sum + cut, 0);
  };
  const instance = crypto.randomUUID().slice(0, 8);
  const coordinate = await coordinationOf(config.process, version, instance);
  const shares = shareDescriptors(sharesOf(plans, events), threads.descriptors);
  reports.controlConnectionsMax = shares.control;
  for (const [place, plan] of plans.entries()) {
    const service = await startPlan(plan, {
      ...{ programs, threads, instance, reports, state, accessLogs, socketMode },
      ...coordinate === undefined ? {} : { coordinate },
      ...manager.received === undefined ? {} : { received: manager.received },
      drainMs: drainTimeout,
      connectionsMax: shares.clients[place]!,
    });
    if (typeof service === "string") {
      await stopAll(0, AbortSignal.abort());
      // All options were valid when they were checked, so something has changed since.
      return { exitCode: 1, lines: [service] };
    }
    services.push(service);
    reports.views.push(service.view);
  }
  const window = admin === undefined
    ? undefined
    : await reports.listenAdmin(admin, shares.admin, manager.received);
  if (typeof window === "string") {
    await stopAll(0, AbortSignal.abort());
    return { exitCode: 1, lines: [cannotListenAdmin(admin!, window, origins.admin)] };
  }
  window?.finished.catch((error) => {
    events.publish("", {
      type: "proxy.faulted",
      reason: `the admin listener ended: ${describe(error)}`,
    });
  });
  orders.onFailbackOrder(() =>
    services.forEach((service) => service.view.order({ name: "failback" }, BY_SIGNAL))
  );

  await started();
  manager.ready();

  await whenAborted(orders.stop);
  manager.stopping();
  reports.isStopping = true;
  await sleepUnless(drainDelay, orders.stopNow);
  const reason = String(orders.stop.reason);
  const sessions = services.reduce((sum, { view }) => sum + (view.counters().active ?? 0), 0);
  events.publish("", { type: "proxy.stopping", reason, sessions, drainMs: drainTimeout });
  const cutSessions = await stopAll(drainTimeout, orders.stopNow);
  events.publish("", { type: "proxy.stopped", cutSessions });
  return { exitCode: 0, lines: [] };
}

/** Resolves after `ms` milliseconds, or as soon as the process must end at once; clients are served meanwhile. */
async function sleepUnless(ms: number, now: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(realClock, ms, now).catch(() => {});
}

function startPlan(
  { config: { name }, starter, warnings, triggerWarnings }: Plan,
  { reports, state, ...rest }: {
    readonly programs: Programs;
    readonly threads: Threads;
    readonly instance: string;
    readonly drainMs: number;
    readonly reports: Reports;
    readonly state: StateFolder | undefined;
    readonly accessLogs: AccessLogs;
    readonly socketMode: number;
    readonly connectionsMax: number;
    readonly coordinate?: Coordinate;
    readonly received?: ReceivedListeners;
  },
): Promise<Supervisor | string> {
  const publish = reports.events.scope(name);
  for (const warning of warnings) publish({ type: "config.warned", warning });
  const publicEndpoints = (view: ServiceView) => reports.publicEndpoints(view);
  return Supervisor.start(starter, {
    clock: realClock,
    coarseClock,
    memory: state?.memory(name) ?? new ProcessMemory(),
    publish,
    observer: reports.incidents.observer(name),
    triggerWarnings,
    publicEndpoints,
    ...rest,
  });
}
