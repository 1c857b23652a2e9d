/**
 * Reads the config again and puts it into force while the process runs: completely, or not at all. First everything is
 * read, checked and prepared, which changes nothing; then it is applied step by step, and if a step fails, those before
 * it are undone. One reload at a time; further ones wait. Part of the composition root.
 */
import type { ReloadAnswer } from "../admin/reload.ts";
import { sleep } from "../base/clock.ts";
import type { Clock } from "../base/clock.ts";
import { describe } from "../base/describe.ts";
import { formatAddress } from "../base/address.ts";
import {
  changeLines,
  compareConfigs,
  type Comparison,
  fixedLines,
  placeOf,
} from "../config/compare.ts";
import type { Config } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import type { AccessLogs, PreparedLogs } from "./access_logs.ts";
import type { Fleet, FleetLimits, Plan } from "./fleet.ts";
import type { ReadOptions } from "./read_options.ts";
import type { PreparedReports, Reports } from "./reports.ts";
import type { HeldState } from "./state_holder.ts";
import type { PreparedChange } from "./service.ts";

/** Reloads that may wait for the one under way; more are refused. */
const WAITING_MAX = 4;
/** How long a step may take until it is in force everywhere, in milliseconds; a thread may hang. */
const IN_FORCE_MS = 10_000;
/**
 * How long a reload waits for a port that an earlier one has taken from a service, in milliseconds. It is closed when
 * the clients in its queue have been accepted, which takes half a second at most where the machine has time.
 */
const CLOSING_MS = 5_000;
/** The pause between two attempts at such a port, in milliseconds. */
const CLOSING_LOOK_MS = 20;

/** What is in force. */
export interface InForce {
  readonly config: Config;
  readonly warnings: readonly string[];
  readonly limits: FleetLimits;
}

/** What reloads need from the process. */
export interface ReloadParts {
  readonly clock: Clock;
  readonly publish: Publish;
  readonly fleet: Fleet;
  readonly reports: Reports;
  readonly accessLogs: AccessLogs;
  readonly state: Pick<HeldState, "add" | "remove">;
  /** Why nothing can be changed at this moment, for a person; undefined if it can. */
  readonly whyNot: () => string | undefined;
  /** Reads and checks the options as a start does. */
  readonly read: () => Promise<ReadOptions | readonly string[]>;
  readonly plansOf: (read: ReadOptions) => Promise<readonly Plan[]>;
}

/** One step of a change, between others. */
interface ReloadStep {
  /** Throws or rejects if it cannot be done; it has changed nothing then, or `undo` takes it back. */
  apply(): unknown;
  undo(): unknown;
}

/** A service of the new config, and what it may use. */
interface Target {
  readonly plan: Plan;
  readonly limits: { readonly drainMs: number; readonly connectionsMax: number };
}

/** A change that is ready. */
interface Prepared {
  readonly steps: readonly ReloadStep[];
  /** Options whose files have other contents, each with its service. */
  readonly files: readonly string[];
  readonly limits: FleetLimits;
  /** Releases what was opened, if the steps are not taken. */
  discard(): Promise<void>;
  /** After the steps: what is not used any more ends. */
  finish(): void;
}

/** A step cannot be taken, for a reason that is no bug; the message is a line for a person. */
class StepRefused extends Error {
  override readonly name = "StepRefused";
}

/** The reloads of one process. */
export class Reloader {
  readonly #parts: ReloadParts;
  #inForce: InForce;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #isStopping = false;
  /** Ports of services that were removed, and until when they may take to be closed. */
  readonly #closing = new Map<string, number>();

  constructor(inForce: InForce, parts: ReloadParts) {
    this.#inForce = inForce;
    this.#parts = parts;
  }

  /** The config that is in force. */
  get config(): Config {
    return this.#inForce.config;
  }

  /** Reads the config and puts it into force, or with `dryRun` only says what would change. Never rejects. */
  async reload(
    { dryRun, by }: { readonly dryRun: boolean; readonly by: string },
  ): Promise<ReloadAnswer> {
    if (this.#waiting >= WAITING_MAX) {
      return refused([`Cannot reload now: ${WAITING_MAX} reloads are under way already`]);
    }
    this.#waiting++;
    const mine = this.#last.then(() => this.#reload(dryRun));
    this.#last = mine.catch(() => {});
    const answer = await mine.catch((error) =>
      refused([`A fault of the proxy: ${describe(error)}`])
    );
    this.#waiting--;
    if (!dryRun) this.#tell(answer, by);
    return answer;
  }

  /** Whether a reload is under way. */
  get isBusy(): boolean {
    return this.#waiting > 0;
  }

  /** Further reloads are refused. Resolves when the one under way has ended. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#last;
  }

  #tell(answer: ReloadAnswer, by: string): void {
    const { publish, reports } = this.#parts;
    const { outcome, changes, errors, warnings } = answer;
    reports.noteReload(answer, by, this.config);
    if (outcome === "refused") return publish({ type: "config.refused", by, errors });
    for (const warning of warnings) publish({ type: "config.warned", warning });
    publish({ type: "config.reloaded", by, changes });
  }

  async #reload(dryRun: boolean): Promise<ReloadAnswer> {
    const why = this.#whyNot();
    if (why !== undefined) return refused([`Cannot reload now: ${why}`]);
    const read = await this.#parts.read();
    if (read instanceof Array) return refused(read);
    const comparison = compareConfigs(this.config, read.config);
    const lines = fixedLines(comparison);
    if (lines.length > 0) return refused(lines);
    const prepared = await this.#prepare(read, comparison, dryRun);
    if (prepared instanceof Array) return refused(prepared);
    const warnings = read.warnings.filter((each) => !this.#inForce.warnings.includes(each));
    const changes = [...changeLines(comparison), ...prepared.files];
    const answer = { changes, errors: [], warnings };
    if (dryRun || changes.length === 0) {
      await prepared.discard();
      // Origins may differ: the same option may stand on another line.
      if (!dryRun) this.#inForce = { ...this.#inForce, config: read.config };
      return { ...answer, outcome: changes.length === 0 ? "unchanged" : "possible" };
    }
    const failure = this.#whyNot() ?? await this.#take(prepared.steps);
    if (failure !== undefined) {
      await prepared.discard();
      return refused([`Cannot put the new config into force, the old one stays: ${failure}`]);
    }
    this.#inForce = { config: read.config, warnings: read.warnings, limits: prepared.limits };
    prepared.finish();
    return { ...answer, outcome: "applied" };
  }

  #whyNot(): string | undefined {
    return this.#isStopping ? "the proxy is stopping" : this.#parts.whyNot();
  }

  /** Takes the steps. After a failure those that were taken are undone, the last one first. */
  async #take(steps: readonly ReloadStep[]): Promise<string | undefined> {
    const taken: ReloadStep[] = [];
    try {
      for (const step of steps) {
        taken.push(step);
        await this.#inTime(step.apply());
      }
    } catch (error) {
      for (const step of taken.toReversed()) {
        try {
          await this.#inTime(step.undo());
        } catch (fault) {
          this.#parts.publish({ type: "proxy.faulted", reason: describe(fault) });
        }
      }
      return error instanceof StepRefused ? error.message : describe(error);
    }
  }

  async #inTime(work: unknown): Promise<void> {
    const over = new AbortController();
    const late = sleep(this.#parts.clock, IN_FORCE_MS, over.signal).catch(() => {});
    await Promise.race([work, late]);
    over.abort();
  }

  /** Reads, opens and finds out everything that may fail, or returns error lines. Changes nothing that runs. */
  async #prepare(
    read: ReadOptions,
    comparison: Comparison,
    dryRun: boolean,
  ): Promise<Prepared | readonly string[]> {
    const { fleet, reports, accessLogs } = this.#parts;
    const plans = await this.#parts.plansOf(read);
    const limits = fleet.limitsFor(plans, read.config.process.drainTimeout, () => () => {});
    const targets = plans.map((plan, at): Target => ({
      plan,
      limits: { drainMs: limits.drainMs, connectionsMax: limits.clients[at]! },
    }));
    const targetOf = (name: string) => targets.find(({ plan }) => plan.config.name === name)!;
    const news = comparison.added.map(({ name }) => targetOf(name));
    const errors: string[] = [];
    /** Notes error lines; undefined for them. */
    const good = <T>(found: T | readonly string[]): T | undefined => {
      if (!(found instanceof Array)) return found as T;
      errors.push(...found);
    };
    const reporting = good(await reports.prepare(read.config));
    errors.push(...await this.#portErrors(news.map(({ plan }) => plan)));
    const kept = await Promise.all(comparison.kept.map(({ before, after }) => {
      const { plan, limits } = targetOf(after.name);
      return fleet.prepare(before.name, plan, limits);
    }));
    const changes = kept.map((each) => good(each)).filter((each) => each !== undefined);
    const logs = dryRun ? undefined : good(await accessLogs.prepare(read.config));
    const added = dryRun || errors.length > 0 ? [] : await this.#openStates(news, errors);
    const discard = async () => {
      logs?.discard();
      for (const name of added) await this.#parts.state.remove(name);
    };
    if (errors.length > 0 || reporting === undefined) {
      await discard();
      return [...new Set(errors)];
    }
    return {
      limits,
      discard,
      files: comparison.kept.flatMap(({ after: { name } }, at) =>
        changes[at]!.changedFiles.map((key) => `service ${name}: the file of ${key} has changed`)
      ),
      steps: this.#stepsOf({ comparison, news, reporting, changes, logs }),
      finish: () => {
        for (const service of comparison.removed) {
          const until = this.#parts.clock.now() + CLOSING_MS;
          this.#closing.set(formatAddress(placeOf(service)), until);
          fleet.remove(service.name, limits.drainMs);
        }
        reporting.finish();
        logs?.keepOnly();
      },
    };
  }

  /** One error line for each port of a new service that cannot be opened. Waits for those that are being closed. */
  async #portErrors(plans: readonly Plan[]): Promise<string[]> {
    const { clock } = this.#parts;
    for (const [place, until] of this.#closing) {
      if (clock.now() >= until) this.#closing.delete(place);
    }
    const lines = await Promise.all(plans.map(async (plan) => {
      const until = this.#closing.get(plan.starter.listensOn) ?? -Infinity;
      for (;;) {
        const line = await portError(plan);
        if (line === undefined || clock.now() >= until || this.#isStopping) return line;
        await sleep(clock, CLOSING_LOOK_MS);
      }
    }));
    return lines.filter((line) => line !== undefined);
  }

  /** Opens what new services remember; returns the names of those for which that was possible. */
  async #openStates(news: readonly Target[], errors: string[]): Promise<string[]> {
    const opened: string[] = [];
    for (const { plan: { config: { name } } } of news) {
      const wrong = await this.#parts.state.add(name);
      if (wrong === undefined) opened.push(name);
      else errors.push(wrong);
    }
    return opened;
  }

  #stepsOf({ comparison: { kept }, news, reporting, changes, logs }: {
    readonly comparison: Comparison;
    readonly news: readonly Target[];
    readonly reporting: PreparedReports;
    readonly changes: readonly PreparedChange[];
    readonly logs: PreparedLogs | undefined;
  }): ReloadStep[] {
    const { fleet, reports } = this.#parts;
    const adding = ({ plan, limits }: Target): ReloadStep => ({
      apply: async () => {
        const line = await fleet.add(plan, limits);
        if (line !== undefined) throw new StepRefused(line);
      },
      undo: () => fleet.remove(plan.config.name, 0),
    });
    // A new port of HTTP is opened first, because that may still fail; TCP opens it when an upstream was chosen.
    const isHttp = ({ plan }: Target) => plan.config.mode === "http";
    return [
      { apply: () => logs?.add(), undo: () => {} },
      ...news.filter(isHttp).map(adding),
      reporting,
      ...changes,
      {
        apply: () => kept.forEach(({ after }) => reports.setService(after)),
        undo: () => kept.forEach(({ before }) => reports.setService(before)),
      },
      ...news.filter((target) => !isHttp(target)).map(adding),
    ];
  }
}

/** Why a service cannot listen; undefined if it can. */
export async function portError(
  { config: { name, origins }, starter }: Plan,
): Promise<string | undefined> {
  const { listenOption, listensOn } = starter;
  const reason = await starter.tryListen();
  if (reason === undefined) return undefined;
  const origin = `option ${listenOption} of service ${name}, from ${origins[listenOption]}`;
  return `Cannot listen on ${listensOn}: ${reason} (${origin})`;
}

function refused(errors: readonly string[]): ReloadAnswer {
  return { outcome: "refused", errors, changes: [], warnings: [] };
}
