/**
 * How a running process is replaced by a new one (`failover upgrade`), as seen from the old one: when it may be, what
 * it hands over, and what becomes of it. `upgrade/` has the protocol. Part of the composition root.
 */
import type { UpgradeAnswer, UpgradeOrder } from "../admin/upgrade.ts";
import { type Clock, sleep } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { ProcessLibc } from "../linux/process_libc.ts";
import { kernelUnsupportedReason } from "../linux/unsupported_reason.ts";
import type { PassedListener } from "../net/handover.ts";
import { textOf } from "../state/memory_text.ts";
import { type Place, type Started, successorOf, whyNotHere } from "../upgrade/place.ts";
import type { Replaceable, Successor } from "../upgrade/upgrade.ts";
import type { HeldState } from "./state_holder.ts";
import type { Supervisor } from "./supervisor.ts";

/** How long an upgrade waits for a promotion, an order or a drill to end, in milliseconds. */
const CALM_MS = 30_000;
/** The pause between two looks whether that is over, in milliseconds. */
const LOOK_MS = 50;

/** How this process was started, for its successor. */
export type StartedAs = Omit<Started, "commandLine"> & Pick<Place, "env">;

/** The running process. */
export interface ReplacementParts {
  readonly clock: Clock;
  readonly publish: Publish;
  readonly version: string;
  readonly startedAs: StartedAs;
  /** Those that run now. */
  readonly services: () => readonly Supervisor[];
  /** What an upgrade has to wait for beside services; undefined if that is nothing. */
  readonly busyWith: () => string | undefined;
  readonly state: HeldState;
  /** The path of the control socket, beside which the new process is waited for; undefined if there is none. */
  readonly control: string | undefined;
  /** The listening sockets that are no service's. */
  readonly ownListeners: () => readonly PassedListener[];
}

/** Takes orders to replace the process, one at a time, until one has been carried out or the process is to end. */
export class Replacement implements Replaceable {
  readonly version: string;
  readonly #parts: ReplacementParts;
  readonly #stop = new AbortController();
  readonly #done = Promise.withResolvers<Successor>();
  #underWay: Promise<unknown> | undefined;
  #isDone = false;
  #count = 0;

  constructor(parts: ReplacementParts) {
    this.#parts = parts;
    this.version = parts.version;
  }

  /** Whether an upgrade is under way, or another process has taken over. */
  get isUnderWay(): boolean {
    return this.#underWay !== undefined || this.#isDone;
  }

  /** Resolves when another process has taken over. */
  get done(): Promise<Successor> {
    return this.#done.promise;
  }

  /** Carries an order out. Resolves when the new process decides, or when everything is as it was before. */
  async order(order: UpgradeOrder): Promise<UpgradeAnswer> {
    const { publish } = this.#parts;
    const reason = this.#whyNot();
    if (reason !== undefined) {
      publish({ type: "order.refused", order: "upgrade", by: order.by, reason });
      return { lines: [reason] };
    }
    const running = this.#upgrade(order);
    this.#underWay = running.catch(() => {});
    try {
      return await running;
    } finally {
      this.#underWay = undefined;
    }
  }

  /**
   * Takes no more orders and ends an upgrade that is under way. Resolves with the process that has taken over
   * nevertheless, if it was too late for that.
   */
  async stop(): Promise<Successor | undefined> {
    this.#stop.abort("the proxy is to end");
    await this.#underWay;
    return this.#isDone ? await this.done : undefined;
  }

  listeners(): readonly PassedListener[] {
    const { services, ownListeners } = this.#parts;
    return [...services().flatMap((service) => service.listeners()), ...ownListeners()];
  }

  stateLock(): { readonly folder: string; readonly descriptor: number } | undefined {
    const { folder } = this.#parts.state;
    if (folder === undefined) return undefined;
    using libc = new ProcessLibc();
    const descriptor = libc.descriptorOf(`${Deno.realPathSync(folder)}/lock`);
    return descriptor === undefined ? undefined : { folder, descriptor };
  }

  async suspend(): Promise<ReadonlyMap<string, string> | string> {
    const { clock, state } = this.#parts;
    const offsetMs = clock.wall() - clock.now();
    const end = clock.now() + CALM_MS;
    for (;;) {
      const reason = this.#busyWith();
      if (reason !== undefined) {
        if (clock.now() >= end) return reason;
        await sleep(clock, LOOK_MS, this.#stop.signal).catch(() => {});
        if (this.#stop.signal.aborted) return String(this.#stop.signal.reason);
        continue;
      }
      const services = this.#parts.services();
      const answers = await Promise.all(services.map(async (service) => ({
        name: service.view.name,
        memory: await service.suspend(),
      })));
      if (answers.some(({ memory }) => typeof memory === "string")) {
        for (const service of services) service.resume();
        continue;
      }
      await state.kept();
      return new Map(
        answers.flatMap(({ name, memory }) =>
          typeof memory === "string" ? [] : [[name, textOf(name, memory, offsetMs)] as const]
        ),
      );
    }
  }

  resume(): Promise<void> {
    for (const service of this.#parts.services()) service.resume();
    return Promise.resolve();
  }

  /** What the upgrade has to wait for. */
  #busyWith(): string | undefined {
    const busyWith = this.#parts.busyWith();
    if (busyWith !== undefined) return busyWith;
    for (const service of this.#parts.services()) {
      const reason = service.busyWith();
      if (reason !== undefined) return `service ${service.view.name}: ${reason}`;
    }
  }

  #whyNot(): string | undefined {
    if (this.#isDone) return "another process has taken over already";
    if (this.#stop.signal.aborted) return String(this.#stop.signal.reason);
    if (this.#underWay !== undefined) return "an upgrade is under way already";
    return whyNotHere(placeOf(this.#parts.startedAs));
  }

  async #upgrade({ by, path }: UpgradeOrder): Promise<UpgradeAnswer> {
    const { clock, publish, control, startedAs, version } = this.#parts;
    const { isStandalone, execPath, args } = startedAs;
    const started = { isStandalone, execPath, args, commandLine: commandLine() };
    const command = successorOf(started, path);
    publish({ type: "upgrade.started", by, program: command.program });
    const folder = (control ?? "").replace(/[^/]*$/, "");
    const socket = `${folder}.failover-upgrade-${Deno.pid}-${++this.#count}`;
    const began = clock.now();
    const { upgrade } = await import("../upgrade/upgrade.ts");
    const done = await upgrade({ command, socket, signal: this.#stop.signal }, this);
    if ("lines" in done) {
      publish({ type: "upgrade.failed", reason: done.lines.join("; ") });
      return done;
    }
    this.#isDone = true;
    this.#parts.state.leave();
    this.#done.resolve(done);
    const from = { version, pid: Deno.pid };
    return { from, to: { version: done.version, pid: done.pid }, tookMs: clock.now() - began };
  }
}

function placeOf({ env }: StartedAs): Place {
  const unsupportedReason = kernelUnsupportedReason();
  const { os } = Deno.build;
  const { pid, ppid } = Deno;
  const known = { os, unsupportedReason, pid, ppid, env };
  if (unsupportedReason !== undefined) return { ...known, parentName: "" };
  using libc = new ProcessLibc();
  return { ...known, parentName: libc.textOf(`/proc/${ppid}/comm`).trim() };
}

function commandLine(): readonly string[] {
  using libc = new ProcessLibc();
  // Each argument ends with a zero byte (proc_pid_cmdline(5)).
  return libc.textOf("/proc/self/cmdline").split("\0").slice(0, -1);
}
