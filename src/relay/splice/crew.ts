/**
 * All workers of one relay: an order goes to each of them. A worker that dies loses its sessions and nothing
 * else: its port stays open, new clients wait in the accept queue, and after a pause a new worker takes its
 * place and gets the latest orders.
 */
import { backoffMs } from "../../base/backoff.ts";
import { endpointOf } from "../../linux/sockaddr.ts";
import { Libc } from "../../linux/libc.ts";
import type { RelayContext, RelayCounters, RelaySettings } from "../engine.ts";
import { COUNT, sumCounters } from "./counters.ts";
import { newSharedMemory, type SharedMemory, WORKER, WorkerHandle } from "./worker_handle.ts";
import type { Order, Report } from "./messages.ts";

/** The pause before a worker is started again: doubled each time, up to the maximum. */
const RESTART_FIRST_MS = 250;
const RESTART_MAX_MS = 10_000;
/** After so long without a death the pause begins at its first value again. */
const STABLE_MS = 60_000;

/** Receives each report, with the number of the worker that sent it. */
export type OnReport = (number: number, report: Report) => void;

interface Slot {
  readonly number: number;
  readonly shared: SharedMemory;
  /** Undefined while the worker is dead. */
  worker: WorkerHandle | undefined;
  startedAt: number;
  /** Deaths in a row, each before it was stable. */
  deaths: number;
  cancelRestart: () => void;
  /** The latest order where to listen. */
  bind: Order | undefined;
}

export class Crew {
  readonly #settings: RelaySettings;
  readonly #context: RelayContext;
  readonly #onReport: OnReport;
  readonly #script: URL;
  readonly #slots: readonly Slot[];
  /** The latest order where clients go. */
  #aim: Order | undefined;
  #isStopping = false;

  /** `settings` are those of each worker. */
  constructor(
    count: number,
    settings: RelaySettings,
    context: RelayContext,
    onReport: OnReport,
    script = WORKER,
  ) {
    this.#settings = settings;
    this.#context = context;
    this.#onReport = onReport;
    this.#script = script;
    this.#slots = Array.from({ length: count }, (_, number) => ({
      number,
      shared: newSharedMemory(),
      worker: undefined,
      startedAt: 0,
      deaths: 0,
      cancelRestart: () => {},
      bind: undefined,
    }));
    for (const slot of this.#slots) this.#start(slot);
  }

  counters(): RelayCounters {
    return sumCounters(this.#slots.map(({ shared }) => shared.counters));
  }

  /** Resolves when the order is in force in all living workers; the others get it when they are started. */
  async order(order: Order): Promise<void> {
    this.#remember(order);
    await Promise.all(this.#slots.map(({ worker }) => worker?.order(order)));
  }

  /** Orders worker `number` where to listen. */
  bind(number: number, order: Order & { readonly do: "bind" }): void {
    const slot = this.#slots[number]!;
    slot.bind = order;
    void slot.worker?.order(order);
  }

  /** Orders all workers but the first where to listen: on the port of the first. */
  bindOthers(order: Order & { readonly do: "bind" }): void {
    for (const { number } of this.#slots.slice(1)) this.bind(number, order);
  }

  /** Ends all workers by an order to stop. Resolves with the number of sessions cut. */
  async stop(order: Order & { readonly do: "stop" }): Promise<number> {
    this.#isStopping = true;
    const workers = this.#slots.map(({ worker }) => worker);
    for (const slot of this.#slots) {
      slot.cancelRestart();
      if (slot.worker === undefined) this.#closePort(slot);
    }
    void this.order(order);
    const ends = await Promise.allSettled(workers.map((worker) => worker?.ended ?? 0));
    return ends.reduce((cut, end) => cut + (end.status === "fulfilled" ? end.value : 0), 0);
  }

  #remember(order: Order): void {
    const aim = this.#aim;
    if (order.do === "open" || order.do === "hold" || order.do === "refuse") this.#aim = order;
    if (order.do === "addresses" && aim?.do === "open" && aim.upstream === order.upstream) {
      this.#aim = { ...aim, addresses: order.addresses };
    }
    if (order.do !== "refuse") return;
    for (const slot of this.#slots) {
      if (slot.worker === undefined) this.#closePort(slot);
      // They join the port of the first worker, and there is nothing to join until that is open again.
      if (slot.number > 0) slot.bind = undefined;
    }
  }

  #start(slot: Slot): void {
    const { clock } = this.#context;
    const reusePort = this.#slots.length === 1 ? false : slot.number === 0 ? "first" : "join";
    const onReport = (report: Report) => this.#onReport(slot.number, report);
    let worker: WorkerHandle;
    try {
      worker = new WorkerHandle(
        clock,
        this.#settings,
        reusePort,
        onReport,
        this.#script,
        slot.shared,
      );
    } catch (error) {
      // The first start fails the relay. Later ones lack descriptors or threads, and are tried again.
      if (slot.deaths === 0) throw error;
      return this.#died(slot, error);
    }
    slot.worker = worker;
    slot.startedAt = clock.now();
    worker.ended.catch((error) => this.#died(slot, error));
    if (slot.bind !== undefined) void worker.order(slot.bind);
    if (this.#aim !== undefined) void worker.order(this.#aim);
  }

  #died(slot: Slot, error: unknown): void {
    const { clock, publish } = this.#context;
    const { counters } = slot.shared;
    const sessions = counters[COUNT.active]! + counters[COUNT.held]!;
    counters[COUNT.cut]! += counters[COUNT.active]!;
    counters[COUNT.lost]! += counters[COUNT.held]!;
    counters[COUNT.active] = counters[COUNT.held] = 0;
    if (clock.now() - slot.startedAt > STABLE_MS) slot.deaths = 0;
    slot.worker = undefined;
    const retryInMs = backoffMs(++slot.deaths, RESTART_MAX_MS, RESTART_FIRST_MS);
    publish({
      type: "relay.died",
      engine: "splice",
      worker: slot.number + 1,
      sessions,
      reason: error instanceof Error ? error.message : String(error),
      retryInMs,
    });
    if (this.#isStopping) return this.#closePort(slot);
    if (this.#aim?.do === "refuse") this.#closePort(slot);
    slot.cancelRestart = clock.after(retryInMs, () => this.#start(slot));
  }

  /** Closes the port that a dead worker left open. */
  #closePort({ shared: { counters, marks } }: Slot): void {
    const listener = counters[COUNT.listener]! - 1;
    if (listener < 0) return;
    using libc = new Libc();
    const endpoint = endpointOf(libc.localAddress(listener));
    counters[COUNT.listener] = marks[listener] = 0;
    libc.close(listener);
    if (endpoint.kind === "unix") libc.unlinkSocket(endpoint.path);
  }
}
