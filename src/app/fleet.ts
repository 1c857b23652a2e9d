/** The services of the process: they are started, changed and stopped here. Part of the composition root. */
import type { ServiceView } from "../admin/view.ts";
import type { Clock } from "../base/clock.ts";
import type { Config, ServiceConfig } from "../config/options.ts";
import { NEVER_ABORTED } from "../base/deadline.ts";
import type { Publish } from "../events/events.ts";
import type { Programs } from "../hooks/program.ts";
import type { Descriptors } from "../net/descriptors.ts";
import type { PassOn, ReceivedListeners } from "../net/handover.ts";
import type { AccessLogs } from "./access_logs.ts";
import type { Coordinate } from "./coordination.ts";
import type { ProgramFiles } from "./files.ts";
import type { Inherited } from "./inheritance.ts";
import { ProcessMemory } from "./process_memory.ts";
import type { Reports } from "./reports.ts";
import type { PreparedChange, Starter } from "./service.ts";
import { type Share, shareDescriptors } from "./shares.ts";
import type { HeldState } from "./state_holder.ts";
import { Supervisor } from "./supervisor.ts";
import { mayRunIn, NO_THREADS, type Threads } from "./threads.ts";
import type { StartVariables } from "./service_manager.ts";

/** A service that can be started, with what was found at the paths that its options name. */
export interface Plan extends ProgramFiles {
  readonly config: ServiceConfig;
  readonly starter: Starter;
}

/** What all services share. */
export interface FleetParts {
  readonly clock: Clock;
  readonly coarseClock: Clock;
  readonly programs: Programs;
  readonly threads: Threads;
  readonly reports: Reports;
  readonly state: HeldState;
  readonly accessLogs: AccessLogs;
  readonly socketMode: number;
  /** How the decisions of a service are shared with other proxies; missing if they are not. */
  readonly coordinate?: Coordinate;
  /** Listening sockets of the process before this one, or of the service manager. */
  readonly received?: ReceivedListeners;
  /** What the process before this one has left, if there was one. */
  readonly inherited?: Inherited | undefined;
  /** Unique for each run of the process; the prefix of every promotion id. */
  readonly instance: string;
  /** Aborted when everything must end at once. */
  readonly stopNow: AbortSignal;
  /** Descriptors at the start of the process, before there were clients; undefined if the system cannot be asked. */
  readonly descriptors: Descriptors | undefined;
}

/** How many clients each service may have, and what else depends on the config of the process. */
export interface FleetLimits {
  readonly drainMs: number;
  readonly clients: readonly number[];
  readonly admin: number;
  readonly control: number;
}

/** Loads only the code of each service's mode. `env` is the environment of the process, from which databases read. */
export async function plansOf(
  { services }: Config,
  programs: readonly ProgramFiles[],
  env: StartVariables,
): Promise<Plan[]> {
  return await Promise.all(services.map(async (config, at): Promise<Plan> => ({
    config,
    starter: await starterFor(config, env),
    ...programs[at]!,
  })));
}

/** Loads only the code of the service's mode. */
export async function starterFor(config: ServiceConfig, env: StartVariables): Promise<Starter> {
  if (config.mode === "tcp") return (await import("./tcp_service.ts")).tcpStarter(config, env);
  return await (await import("./http_service.ts")).httpStarter(config);
}

/** The services that run, and those that end. */
export class Fleet {
  readonly #parts: FleetParts;
  readonly #services = new Map<string, Supervisor>();
  /** Services that were removed and whose sessions have not ended yet. */
  readonly #leaving = new Set<Promise<number>>();
  /** Counts the services that were added later. */
  #added = 0;

  constructor(parts: FleetParts) {
    this.#parts = parts;
  }

  /** In the order of their start. */
  get services(): readonly Supervisor[] {
    return [...this.#services.values()];
  }

  /** How many clients each service may have. `publishAs`: events for each that gets fewer than it asked for. */
  limitsFor(
    plans: readonly Plan[],
    drainMs: number,
    publishAs: (service: string) => Publish,
  ): FleetLimits {
    const { threads, descriptors } = this.#parts;
    const shares = plans.map(({ config: { name, origins }, starter: { need } }): Share => ({
      need,
      isExplicit: origins.maxConnections !== "default",
      publish: publishAs(name),
    }));
    return { drainMs, ...shareDescriptors(shares, threads.descriptors, descriptors) };
  }

  /** Starts a service. Resolves with an error line if an option cannot be satisfied. */
  async start(
    { config, starter, warnings, triggerWarnings }: Plan,
    { drainMs, connectionsMax }: Limits,
    instance = this.#parts.instance,
  ): Promise<string | undefined> {
    const { name } = config;
    const { reports, state, threads, inherited, stopNow: _, descriptors: __, ...parts } =
      this.#parts;
    const publish = reports.events.scope(name);
    for (const warning of warnings) publish({ type: "config.warned", warning });
    const service = await Supervisor.start(starter, {
      ...parts,
      threads: await mayRunIn(threads, config)
        ? threads
        : { ...NO_THREADS, unsupportedReason: LATE },
      memory: state.memory(name) ?? new ProcessMemory(inherited?.memory(name)),
      ...inherited === undefined ? {} : { mayBegin: inherited.mayBegin },
      publish,
      observer: reports.incidents.observer(name),
      triggerWarnings,
      publicEndpoints: (view: ServiceView) => reports.publicEndpoints(view),
      instance,
      drainMs,
      connectionsMax,
    });
    if (typeof service === "string") return service;
    this.#services.set(name, service);
    reports.views.push(service.view);
  }

  /** As `start`, for a service that comes while others run. */
  async add(plan: Plan, limits: Limits): Promise<string | undefined> {
    this.#parts.reports.setService(plan.config);
    // The same name may come again, and promotions must not.
    const line = await this.start(plan, limits, `${this.#parts.instance}-${++this.#added}`);
    if (line !== undefined) this.#parts.reports.removeService(plan.config.name);
    return line;
  }

  /** Prepares a change of a service that runs, or resolves with error lines. */
  prepare(
    name: string,
    { config, starter, triggerWarnings }: Plan,
    limits: Limits,
  ): Promise<PreparedChange | readonly string[]> {
    const service = this.#services.get(name)!;
    const { accessLogs } = this.#parts;
    return service.prepare(starter, { config, triggerWarnings, accessLogs, ...limits });
  }

  /** Stops a service in the background, with the usual time for its sessions. */
  remove(name: string, drainMs: number): void {
    const service = this.#services.get(name);
    if (service === undefined) return;
    const { reports, state, stopNow } = this.#parts;
    this.#services.delete(name);
    const memory = state.memory(name);
    const leaving = service.stop(drainMs, drainMs === 0 ? AbortSignal.abort() : stopNow)
      .catch(() => 0)
      .finally(async () => {
        this.#leaving.delete(leaving);
        await state.remove(name, memory);
      });
    this.#leaving.add(leaving);
    reports.removeService(name);
  }

  /** Leaves all to another process (`Service.leave`). Resolves with the number of sessions that had to be cut. */
  async leave(passOn: PassOn, drainMs: number, now: AbortSignal): Promise<number> {
    const leaving = this.services.map((service) => service.leave(passOn, drainMs, now));
    return await total([...leaving, ...this.#leaving]);
  }

  /** Sessions at present. */
  get sessions(): number {
    return this.services.reduce((sum, { view }) => sum + (view.counters().active ?? 0), 0);
  }

  /** Stops all. Resolves with the number of sessions that had to be cut. */
  async stop(drainMs: number, now: AbortSignal = NEVER_ABORTED): Promise<number> {
    const stopping = this.services.map((service) => service.stop(drainMs, now));
    return await total([...stopping, ...this.#leaving]);
  }
}

async function total(cuts: readonly Promise<number>[]): Promise<number> {
  return (await Promise.all(cuts)).reduce((sum, cut) => sum + cut, 0);
}

/** What depends on other services and on the process. */
interface Limits {
  readonly drainMs: number;
  readonly connectionsMax: number;
}

/** Why a service that came later does not run in the threads. */
const LATE = "the threads were made without its mode, which a restart changes";
