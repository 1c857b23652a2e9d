/**
 * The composition root: builds the services of a config, runs them, and stops them. It connects the rooms
 * and decides nothing.
 */
import { type Address, formatAddress } from "../base/address.ts";
import { realClock } from "../base/clock.ts";
import type { Config } from "../config/options.ts";
import { CoarseClock } from "../net/coarse_clock.ts";
import { Programs } from "../hooks/program.ts";
import type { Publish } from "../events/events.ts";
import type { Sink } from "../report/log.ts";
import { measure } from "../net/descriptors.ts";
import { tryBind } from "../net/deno/bind.ts";
import { keepPoolThread } from "./pool_thread.ts";
import { coordinationOf } from "./coordination.ts";
import { AccessLogs } from "./access_logs.ts";
import { Fleet, type FleetParts, type Plan, plansOf } from "./fleet.ts";
import type { ReadOptions } from "./read_options.ts";
import { type InForce, portError, Reloader } from "./reload.ts";
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
  /** Receives the function to call when the config is to be read again, and log files to be opened again. */
  onReloadOrder(reload: () => void): void;
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
export interface RunInput extends ReadOptions {
  /** How the process was started, for the one that takes over from it. */
  readonly startedAs: StartedAs;
  /** The connection to the process to take over from, if there is one. */
  readonly takeover?: Takeover | undefined;
  /** Reads the options again, as at the start. */
  readonly readAgain: () => Promise<ReadOptions | readonly string[]>;
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
  { control, startedAs, takeover, readAgain, ...given }: RunInput,
  version: string,
  orders: Orders,
  stderr: Sink,
): Promise<RunOutcome> {
  const inherited = takeover &&
    await (await import("./inheritance.ts")).Inherited.from(takeover, version);
  using _poolThread = keepPoolThread(realClock);
  const { config, warnings } = given;
  const plans = await plansOf(config, given.programs, startedAs.env);
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
  if (inherited === undefined) loadIncidents(reports);
  // Only a control socket that an option asks for is opened before the services.
  const isAsked = control !== undefined && !control.isDefault && inherited === undefined;
  const line = isAsked ? await reports.listenControl(control, received) : undefined;
  if (line !== undefined) return { exitCode: 1, lines: [line] };
  return await serve(plans, given, {
    ...{ reports, state, accessLogs, orders, control, inherited, received, manager },
    ...{ version, startedAs, readAgain },
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
  for (const plan of plans) {
    const { config: { name }, starter } = plan;
    if (received?.has({ is: "service", name }, starter.listensOn)) continue;
    const line = await portError(plan);
    if (line !== undefined) lines.push(line);
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
  readonly readAgain: RunInput["readAgain"];
  /** Listening sockets of another process, or of systemd. */
  readonly received: ReceivedListeners | undefined;
  readonly manager: ServiceManager;
}

async function serve(
  plans: readonly Plan[],
  { config, warnings }: ReadOptions,
  shared: Shared,
): Promise<RunOutcome> {
  const { reports, state, orders, inherited, manager } = shared;
  const { drainTimeout } = config.process;
  const { events } = reports;
  await using programs = new Programs(realClock, orders.stopNow);
  await using threads = await startThreads(config.services, workersOf(config), events.scope(""));
  const lost = inherited && await inheritState(inherited, state, threads);
  if (lost !== undefined) return { exitCode: 2, lines: lost };
  const fleet = await fleetOf(config, shared, { programs, threads });
  const failed = async (line: string): Promise<RunOutcome> => {
    await fleet.stop(0, AbortSignal.abort());
    return { exitCode: 1, lines: [line] };
  };
  const limits = fleet.limitsFor(plans, drainTimeout, (service) => events.scope(service));
  reports.controlConnectionsMax = limits.control;
  for (const [place, plan] of plans.entries()) {
    const connectionsMax = limits.clients[place]!;
    const line = await fleet.start(plan, { drainMs: drainTimeout, connectionsMax });
    // All options were valid when they were checked, so something has changed since.
    if (line !== undefined) return await failed(line);
  }
  const inForce = { config, warnings, limits };
  const { reloader, replacement } = takeOrders(inForce, fleet, shared);
  const line = await listenForOperators(config, shared, limits.admin);
  if (line !== undefined) return await failed(line);
  const refused = await inherited?.begin(fleet.services, events.scope(""));
  if (refused !== undefined) return await failed(refused);
  if (inherited !== undefined) {
    void state.sign();
    // Up to now they were those of the process before this one.
    loadIncidents(reports, true);
  }
  manager.ready(inherited !== undefined);
  return await untilTheEnd({ reports, fleet, reloader, replacement, orders, manager });
}

/** Those of earlier runs; the services start without waiting for the disk. */
function loadIncidents({ incidents, events }: Reports, isHandedOver = false): void {
  incidents.load(isHandedOver).catch((error) =>
    events.publish("", { type: "proxy.faulted", reason: describe(error) })
  );
}

async function fleetOf(
  { process }: Config,
  { version, reports, state, accessLogs, received, inherited, orders }: Shared,
  parts: Pick<FleetParts, "programs" | "threads">,
): Promise<Fleet> {
  const instance = crypto.randomUUID().slice(0, 8);
  const coordinate = await coordinationOf(process, version, instance);
  return new Fleet({
    ...parts,
    ...{ clock: realClock, coarseClock, reports, state, accessLogs, inherited, instance },
    ...coordinate === undefined ? {} : { coordinate },
    ...received === undefined ? {} : { received },
    socketMode: process.socketMode,
    stopNow: orders.stopNow,
    descriptors: measure(),
  });
}

/** Takes orders to read the config again, to replace the process, and to move back to the best rank. */
function takeOrders(
  inForce: InForce,
  fleet: Fleet,
  { reports, state, accessLogs, readAgain, orders, version, startedAs, control, manager }: Shared,
): { readonly reloader: Reloader; readonly replacement: Replacement } {
  const clock = realClock;
  const publish = reports.events.scope("");
  const reloader: Reloader = new Reloader(inForce, {
    ...{ clock, publish, fleet, reports, accessLogs, state },
    read: readAgain,
    plansOf: ({ config, programs }) => plansOf(config, programs, startedAs.env),
    whyNot: () => replacement.isUnderWay ? "another process is taking over" : undefined,
  });
  const replacement: Replacement = new Replacement({
    ...{ clock, publish, version, startedAs, state },
    services: () => fleet.services,
    busyWith: () => reloader.isBusy ? "a reload is under way" : undefined,
    control: control?.path,
    ownListeners: () => reports.listeners(),
  });
  reports.upgrade = (order) => replacement.order(order);
  const reload: typeof reports.reload = (order) =>
    order.dryRun ? reloader.reload(order) : manager.reload(() => reloader.reload(order));
  reports.reload = reload;
  orders.onReloadOrder(() => {
    accessLogs.reopen();
    void reload({ dryRun: false, by: "SIGHUP" });
  });
  orders.onFailbackOrder(() =>
    fleet.services.forEach((service) => service.view.order({ name: "failback" }, BY_SIGNAL))
  );
  return { reloader, replacement };
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
