/**
 * Keeps one service running. If a part of it ends unexpectedly, which is a bug, the sessions of the service
 * end, one line is logged, and the service is restarted after a pause. The other services of the process are
 * not affected. Part of the composition root.
 */
import type { ServiceView } from "../admin/view.ts";
import { backoffMs } from "../base/backoff.ts";
import { sleep } from "../base/clock.ts";
import type { Memory } from "../failover/memory.ts";
import type { GoOn, Parcel, PassedListener, PassOn } from "../net/handover.ts";
import type { PreparedChange, Service, ServiceChange, ServiceContext, Starter } from "./service.ts";
import { describe } from "../base/describe.ts";

/** Longest pause before a restart, in milliseconds. */
const RETRY_MS_MAX = 60_000;
/** A service that ran for this long before it died begins again with the shortest pause, in milliseconds. */
const STABLE_MS = 10 * 60_000;
/** How long the remaining parts of a dead service may take to end, in milliseconds. */
const STOP_MS_MAX = 5_000;
const RESTARTING = "it is being restarted";

const WHY_SUSPENDED = "Cannot reload now: another process is taking over";

/** One service with its restarts. */
export class Supervisor {
  /** What the admin endpoints show of the service; the same object after restarts. */
  readonly view: ServiceView;
  #starter: Starter;
  #context: ServiceContext;
  readonly #stopping = new AbortController();
  #service: Service | undefined;
  #restarting: Promise<void> = Promise.resolve();
  #startedAt: number;
  /** Consecutive deaths, each before it was stable. */
  #deaths = 0;
  #generation = 0;
  /** Set between `suspend` and `resume`. */
  #suspension: PromiseWithResolvers<void> | undefined;

  /** Starts the service. Resolves with an error line if an option cannot be satisfied. */
  static async start(starter: Starter, context: ServiceContext): Promise<Supervisor | string> {
    const service = await starter.start(context);
    return typeof service === "string" ? service : new Supervisor(service, starter, context);
  }

  private constructor(service: Service, starter: Starter, context: ServiceContext) {
    this.#starter = starter;
    this.#context = context;
    this.#startedAt = context.clock.now();
    let view = service.view;
    const current = () => view = this.#service?.view ?? view;
    this.view = {
      name: view.name,
      mode: view.mode,
      get policy() {
        return current().policy;
      },
      state: () => current().state(),
      history: (upstream) => current().history(upstream),
      checkDurations: (upstream) => current().checkDurations?.(upstream),
      counters: () => current().counters(),
      holdTimes: () => current().holdTimes(),
      requestTimes: () => current().requestTimes(),
      worstDetection: () => current().worstDetection?.() ?? Promise.resolve([]),
      nextCheckAt: (upstream) => current().nextCheckAt?.(upstream),
      order: (order, asker, onOutcome) => current().order(order, asker, onOutcome),
      cluster: () => current().cluster?.(),
      drill: (order) =>
        current().drill?.(order) ?? Promise.resolve("this service cannot make a drill"),
    };
    this.#watch(service);
  }

  /** As `Service.stop`; it also cancels a pending restart. */
  async stop(drainMs: number, now: AbortSignal): Promise<number> {
    this.#stopping.abort();
    this.#suspension?.resolve();
    await this.#restarting;
    return await this.#service?.stop(drainMs, now) ?? 0;
  }

  /** As `Service.busyWith`. */
  busyWith(): string | undefined {
    return this.#service === undefined ? RESTARTING : this.#service.busyWith();
  }

  /**
   * As `Service.prepare`; `starter` starts the service with the other options from then on. One that is being restarted
   * is started with them.
   */
  async prepare(
    starter: Starter,
    change: ServiceChange,
  ): Promise<PreparedChange | readonly string[]> {
    if (this.#suspension !== undefined) return [WHY_SUSPENDED];
    const service = this.#service;
    const prepared = await service?.prepare(change);
    if (prepared instanceof Array) return prepared;
    const { config: _, ...rest } = change;
    const before = { starter: this.#starter, context: this.#context };
    const after = { starter, context: { ...this.#context, ...rest } };
    const put = async ({ starter, context }: typeof before, then?: () => Promise<void>) => {
      this.#starter = starter;
      this.#context = context;
      if (this.#service === service) await then?.();
    };
    return {
      changedFiles: prepared?.changedFiles ?? [],
      apply: () => put(after, prepared && (() => prepared.apply())),
      undo: () => put(before, prepared && (() => prepared.undo())),
    };
  }

  /** As `Service.suspend`. A service that is to be restarted is not handed over. */
  async suspend(): Promise<Memory | string> {
    const memory = await this.#service?.suspend() ?? RESTARTING;
    if (typeof memory !== "string") this.#suspension ??= Promise.withResolvers();
    return memory;
  }

  /** As `Service.resume`. */
  resume(): void {
    this.#suspension?.resolve();
    this.#suspension = undefined;
    this.#service?.resume();
  }

  /** As `Service.listeners`; none while the service is being restarted. */
  listeners(): readonly PassedListener[] {
    return this.#service?.listeners?.() ?? [];
  }

  /** As `Service.leave`; as `stop` where connections cannot be handed over. */
  async leave(passOn: PassOn, drainMs: number, now: AbortSignal): Promise<number> {
    this.#stopping.abort();
    this.#suspension?.resolve();
    await this.#restarting;
    const service = this.#service;
    return await (service?.leave?.(passOn, drainMs, now) ?? service?.stop(drainMs, now)) ?? 0;
  }

  /** As `Service.receive`. */
  receive(parcel: Parcel): GoOn | undefined {
    return this.#service?.receive?.(parcel);
  }

  #watch(service: Service): void {
    this.#service = service;
    service.finished.then(
      () => this.#died(service, "a part of it ended by itself"),
      (error) => this.#died(service, describe(error)),
    );
  }

  #died(service: Service, reason: string): void {
    if (this.#stopping.signal.aborted || this.#service !== service) return;
    this.#service = undefined;
    this.#restarting = this.#restart(service, reason);
  }

  async #restart(dead: Service, reason: string): Promise<void> {
    const { clock, publish } = this.#context;
    if (clock.now() - this.#startedAt > STABLE_MS) this.#deaths = 0;
    let why: string | undefined = reason;
    let ending: Promise<unknown> = dead.stop(0, AbortSignal.abort()).catch(() => {});
    while (why !== undefined) {
      const retryInMs = backoffMs(++this.#deaths, RETRY_MS_MAX);
      publish({ type: "service.died", reason: why, retryInMs });
      await Promise.race([ending, this.#pause(STOP_MS_MAX)]);
      ending = Promise.resolve();
      await this.#pause(retryInMs);
      // Another process may be about to take over.
      await this.#suspension?.promise;
      if (this.#stopping.signal.aborted) return;
      why = await this.#startAgain();
    }
  }

  /** Restarts it. Resolves with undefined, or with the reason why it does not run. */
  async #startAgain(): Promise<string | undefined> {
    const context = this.#context;
    // Promotion ids are unique even if nothing is remembered.
    const instance = `${context.instance}.${++this.#generation}`;
    try {
      const service = await this.#starter.start({ ...context, instance });
      if (typeof service === "string") return service;
      this.#startedAt = context.clock.now();
      this.#watch(service);
    } catch (error) {
      return describe(error);
    }
  }

  /** Waits for the pause or for the stop of the process. */
  #pause(ms: number): Promise<void> {
    return sleep(this.#context.clock, ms, this.#stopping.signal).catch(() => {});
  }
}
