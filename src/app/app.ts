/**
 * The composition root: builds the services of a config, runs them, and stops them. It connects the rooms
 * and decides nothing.
 */
import type { ServiceView } from "../admin/view.ts";
import { type Address, formatAddress } from "../base/address.ts";
import { realClock } from "../base/clock.ts";
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
import { untilTheEnd } from "./end.ts";
import type { Inherited } from "./inheritance.ts";
import { HeldState } from "./state_holder.ts";
import { Replacement, type StartedAs } from "./replacement.ts";
import type { Takeover } from "../upgrade/takeover.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";
import type { ReceivedListeners } from "../net/handover.ts";
import { ServiceManager } from "./service_manager.ts";
import { LogLimiter } from "../base/log_limiter.ts";
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
  /** How the process was started, for the one that takes over from it. */
  readonly startedAs: StartedAs;
  /** The connection to the process to take over from, if there is one. */
  readonly takeover?: Takeover | undefined;
  readonly config: Config;
  /** Warnings about the options. */
  readonly warnings: readonly string[];
  /** The programs of each service, in the order of the services. */
  readonly programs: readonly ProgramFiles[];
  /** Where commands are taken, and whether an option says so; undefined if they are not. */
  readonly control: ControlPlace | undefined;
}

/** Where the control socket is. */
export interface ControlPlace {
  readonly path: string;
  /** True: if it cannot be opened, the proxy runs without it. False: that is an error. */
  readonly isDefault: boolean;
}

/**
 * Runs all services until the stop signal, or until another process has taken over. Resolves when everything has ended.
 * Throws `TakeoverFailed` if it cannot take over from the process that it was started by.
 */
export async function run(
  { config, warnings, programs, control, startedAs, takeover }: RunInput,
  version: string,
  orders: Orders,
  stderr: Sink,
): Promise<RunOutcome> {
  const inherited = takeover &&
    await (await import("./inheritance.ts")).Inherited.from(takeover, version);
  using _poolThread = keepPoolThread(realClock);
  const plans = await Promise.all(config.services.map(async (service, index): Promise<Plan> => ({
    config: service,
    starter: await starterFor(service),
    ...programs[index]!,
  })));
  using manager = await ServiceManager.from(startedAs.env, config, control?.path);
  const received = inherited?.listeners ?? manager.received;
  const taken = await takenAddresses(plans, config, received);
  if (taken.length > 0) return { exitCode: 1, lines: taken };

  const publish: Publish = (event) => events.publish("", event);
  // The folder of another process is taken over when that decides nothing any more.
  const held = new HeldState(config, publish);
  const lost = inherited === undefined ? await held.open() : undefined;
  if (lost !== undefined) return { exitCode: 2, lines: lost };
  await using reports = new Reports(config, version, stderr, { clock: realClock, coarseClock });
  const { events } = reports;
  // What is not on disk yet is written before the log ends.
  await using state = held;
  const faults = new LogLimiter(UNCAUGHT_EVERY_MS);
  orders.onUncaught((reason) => {
    if (faults.allow(reason, realClock.now())) publish({ type: "proxy.faulted", reason });
  });
  manager.follow(events, () => reports.views);
  for (const warning of warnings) publish({ type: "config.warned", warning });
  publish({ type: "proxy.started", version, services: plans.length });
  using accessLogs = await AccessLogs.open(config, realClock, publish);
  if (accessLogs.errors.length > 0) return { exitCode: 2, lines: accessLogs.errors };
  if (accessLogs.hasFiles) orders.onReopenOrder(() => accessLogs.reopen());
  // The services start without waiting for the disk.
  reports.incidents.load().catch((error) =>
    publish({ type: "proxy.faulted", reason: describe(error) })
  );
  // Only a control socket that an option asks for is opened before the services.
  const isAsked = control !== undefined && !control.isDefault && inherited === undefined;
  const line = isAsked ? await reports.listenControl(control, received) : undefined;
  if (line !== undefined) return { exitCode: 1, lines: [line] };
  return await serve(plans, config, {
    ...{ reports, state, accessLogs, orders, control, inherited, received, manager },
    ...{ version, startedAs },
  });
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
  readonly reports: Reports;
  readonly state: HeldState;
  readonly accessLogs: AccessLogs;
  readonly orders: Orders;
  readonly control: ControlPlace | undefined;
  readonly inherited: Inherited | undefined;
  readonly version: string;
  readonly startedAs: StartedAs;
  /** Listening sockets of another process, or of systemd. */
  readonly received: ReceivedListeners | undefined;
  readonly manager: ServiceManager;
}

async function serve(
  plans: readonly Plan[],
  config: Config,
  shared: Shared,
): Promise<RunOutcome> {
  const { reports, state, accessLogs, orders, inherited, received, manager } = shared;
  const { version, startedAs } = shared;
  const { drainTimeout, socketMode } = config.process;
  const { events } = reports;
  await using programs = new Programs(realClock, orders.stopNow);
  await using threads = startThreads(config.services, workersOf(config), events.scope(""));
  const lost = inherited && await inheritState(inherited, state, threads);
  if (lost !== undefined) return { exitCode: 2, lines: lost };
  const services: Supervisor[] = [];
  const failed = async (line: string): Promise<RunOutcome> => {
    await Promise.all(services.map((service) => service.stop(0, AbortSignal.abort())));
    return { exitCode: 1, lines: [line] };
  };
  const instance = crypto.randomUUID().slice(0, 8);
  const coordinate = await coordinationOf(config.process, version, instance);
  const shares = shareDescriptors(sharesOf(plans, events), threads.descriptors);
  reports.controlConnectionsMax = shares.control;
  for (const [place, plan] of plans.entries()) {
    const service = await startPlan(plan, {
      ...{ programs, threads, instance, reports, state, accessLogs, socketMode, inherited },
      ...coordinate === undefined ? {} : { coordinate },
      ...received === undefined ? {} : { received },
      drainMs: drainTimeout,
      connectionsMax: shares.clients[place]!,
    });
    // All options were valid when they were checked, so something has changed since.
    if (typeof service === "string") return await failed(service);
    services.push(service);
    reports.views.push(service.view);
  }
  const replacement = new Replacement({
    ...{ clock: realClock, publish: events.scope(""), version, startedAs, services, state },
    control: shared.control?.path,
    ownListeners: () => reports.listeners(),
  });
  reports.upgrade = (order) => replacement.order(order);
  const line = await listenForOperators(config, shared, shares.admin);
  if (line !== undefined) return await failed(line);
  orders.onFailbackOrder(() =>
    services.forEach((service) => service.view.order({ name: "failback" }, BY_SIGNAL))
  );
  const refused = await inherited?.begin(services, events.scope(""));
  if (refused !== undefined) return await failed(refused);
  if (inherited !== undefined) void state.sign();
  manager.ready(inherited !== undefined);
  return await untilTheEnd(config.process, { reports, services, replacement, orders, manager });
}

/** Prepares what can fail, and takes over what the services of the process before remember. */
async function inheritState(
  inherited: Inherited,
  state: HeldState,
  { group }: Threads,
): Promise<readonly string[] | undefined> {
  await Promise.all(group?.sendAll({ look: true }) ?? []);
  return await state.open(await inherited.memories(state.folder));
}

/** Opens the admin listener and the control socket. Resolves with an error line if an option cannot be satisfied. */
async function listenForOperators(
  config: Config,
  { reports, control, inherited, received }: Shared,
  connectionsMax: number,
): Promise<string | undefined> {
  const { admin, origins } = config.process;
  const publish = reports.events.scope("");
  const window = admin && await reports.listenAdmin(admin, connectionsMax, received);
  if (typeof window === "string") return cannotListenAdmin(admin!, window, origins.admin);
  window?.finished.catch((error) => {
    const reason = `the admin listener ended: ${describe(error)}`;
    publish({ type: "proxy.faulted", reason });
  });
  const isOpen = control === undefined || reports.takesCommands;
  return isOpen ? undefined : await reports.listenControl(control, received, inherited?.mayBegin);
}

function startPlan(
  { config: { name }, starter, warnings, triggerWarnings }: Plan,
  { reports, state, inherited, ...rest }: {
    readonly programs: Programs;
    readonly threads: Threads;
    readonly instance: string;
    readonly drainMs: number;
    readonly reports: Reports;
    readonly state: HeldState;
    readonly accessLogs: AccessLogs;
    readonly socketMode: number;
    readonly connectionsMax: number;
    readonly coordinate?: Coordinate;
    readonly received?: ReceivedListeners;
    readonly inherited: Inherited | undefined;
  },
): Promise<Supervisor | string> {
  const publish = reports.events.scope(name);
  for (const warning of warnings) publish({ type: "config.warned", warning });
  const publicEndpoints = (view: ServiceView) => reports.publicEndpoints(view);
  return Supervisor.start(starter, {
    clock: realClock,
    coarseClock,
    memory: state.memory(name) ?? new ProcessMemory(inherited?.memory(name)),
    ...inherited === undefined ? {} : { mayBegin: inherited.mayBegin },
    publish,
    observer: reports.incidents.observer(name),
    triggerWarnings,
    publicEndpoints,
    ...rest,
  });
}
