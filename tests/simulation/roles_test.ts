/**
 * The rules for servers with roles, through random schedules in virtual time, with the real checker, controller and
 * machine: no client is ever let in to a stale primary, and never are two servers promoted.
 */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { whenAborted } from "../../src/base/deadline.ts";
import { chosenSeed, Dice, firstSeed, seeds } from "../../src/base/testing/dice.ts";
import { Controller } from "../../src/failover/controller.ts";
import { isUp } from "../../src/failover/health.ts";
import type { Memory, MemoryPort } from "../../src/failover/memory.ts";
import type { Probe, Promotion, TriggerOutcome } from "../../src/failover/ports.ts";
import { reportOf, type RolePolicy, takesWrites } from "../../src/failover/roles.ts";
import type { Policy } from "../../src/failover/state.ts";
import { IDLE_PLANE } from "../../src/failover/testing/idle_plane.ts";
import { POLICY } from "../../src/failover/testing/policy.ts";
import { upstreamsOf } from "../../src/failover/testing/results.ts";
import { trustedFor } from "../../src/failover/trust.ts";
import { Checker, DOUBT_MS } from "../../src/health/checker.ts";
import { type Promoter, Servers } from "./servers.ts";

const RUNS = 120;
const LENGTH_MS = 10 * 60_000;
const RESTART_MS = 90_000;

/** What thousands of schedules must have seen, so that the invariants are not kept by idleness. */
interface Seen {
  moves: number;
  follows: number;
  stale: number;
  unclear: number;
  refused: number;
  restarts: number;
}

/** One schedule: a world of servers, and a service in front of them that restarts now and then. */
class Run {
  readonly clock = new ManualClock();
  readonly dice: Dice;
  readonly servers: Servers;
  readonly policy: Policy;
  readonly log: string[] = [];
  controller!: Controller;
  #checker!: Checker;
  #memory: Memory | undefined;
  /** The highest term of a primary that clients were let in to. */
  #servedTerm = 0;
  /** The last server that may have been promoted, and the one chosen last at that time. */
  #maybe: { readonly name: string; readonly after: string | undefined } | undefined;
  #promoting = 0;
  readonly #unclear = new Set<number>();

  constructor(seed: number, readonly seen: Seen) {
    this.dice = new Dice(seed);
    const promoter: Promoter = this.dice.pick(["us", "us", "others"]);
    this.servers = new Servers(2 + this.dice.under(3), this.clock, this.dice, promoter);
    const roles: RolePolicy = {
      maxLag: this.dice.pick([undefined, { bytes: 250 }]),
      promotedBy: promoter,
    };
    this.policy = {
      ...POLICY,
      ...{ roles, instance: `r${seed}`, maxBackoffMs: 4_000 },
      rise: 1 + this.dice.under(2),
      fall: 1 + this.dice.under(3),
      onTriggerFailure: this.dice.pick(["continue", "retry", "next"]),
      failback: this.dice.pick([{ kind: "never" }, { kind: "auto" }, { kind: "manual" }] as const),
    };
    this.#begin();
  }

  #begin(): void {
    const { clock } = this;
    const upstreams = upstreamsOf(...this.servers.all.map(({ name }) => name));
    const memory: MemoryPort = {
      remembered: this.#memory,
      keep: (kept) => this.#memory = kept,
      kept: () => Promise.resolve(),
    };
    this.controller = new Controller(upstreams, this.policy, {
      ...{ clock, memory },
      publish: (event) => {
        this.log.push(`${Math.round(clock.now())} ${JSON.stringify(event)}`);
        if (event.type === "upstream.barred" && event.kind === "stale") this.seen.stale++;
      },
      plane: { ...IDLE_PLANE, open: ({ name }) => Promise.resolve(this.#opened(name)) },
      checks: {
        now: (upstream) => this.#checker.now(upstream),
        pace: (upstream, pace) => this.#checker.pace(upstream, pace),
      },
      triggers: { run: (promotion, signal) => this.#promote(promotion, signal) },
    });
    const { controller } = this;
    const probe: Probe = async ({ name }) => {
      // The answer is that of some moment of the check.
      const [before, after] = [this.dice.fraction() * 150, this.dice.fraction() * 150];
      await this.#wait(before);
      const answer = this.servers.ask(name);
      await this.#wait(after);
      return { ...answer, tookMs: before + after };
    };
    this.#checker = new Checker({
      ...{ upstreams, probe, connection: probe, intervalMs: 2_000, doubtMs: DOUBT_MS },
      probeMaxMs: 5_000,
    }, {
      clock,
      random: () => this.dice.fraction(),
      context: (name) => {
        const { epoch, phase } = controller.state;
        return { lastChosen: trustedFor(controller.state, name), phase: phase.name, epoch };
      },
      stage: () => controller.state.stage,
      post: (upstream, result, stage) =>
        controller.post({ type: "probed", upstream, result, stage }),
    });
    controller.post({ type: "begun" });
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve));
  }

  /** Clients are let in: never to a primary that an older promotion made than one they were at before. */
  #opened(name: string): void {
    const { role, term } = this.servers.of(name);
    this.log.push(`${Math.round(this.clock.now())} open ${name} (${role}, term ${term})`);
    // Whatever was to be promoted before is stale if it is a primary now.
    this.#maybe = undefined;
    if (role !== "primary") return;
    assert(term >= this.#servedTerm, `clients came from term ${this.#servedTerm} to ${term}`);
    if (term > this.#servedTerm && this.#servedTerm > 0) this.seen.moves++;
    if (this.policy.roles!.promotedBy === "others" && term > 1) this.seen.follows++;
    this.#servedTerm = term;
  }

  async #promote({ to, move, epoch }: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    if (move === "start" || this.policy.roles!.promotedBy === "others") return { how: "ran" };
    this.#mayPromote(to);
    this.#promoting++;
    assertEquals(this.#promoting, 1, "two promotions at one time");
    const aborted = whenAborted(signal);
    await Promise.race([this.#wait(this.dice.fraction() * 2_000), aborted]);
    // Nobody knows whether an order that is cancelled has arrived.
    const hasArrived = !signal.aborted || this.dice.once(2);
    const outcome: TriggerOutcome = hasArrived ? this.servers.promote(to) : { how: "cancelled" };
    await Promise.race([this.#wait(this.dice.fraction() * 500), aborted]);
    this.#promoting--;
    if (outcome.how === "failed") this.seen[outcome.promotion!]++;
    if (outcome.how === "failed" && outcome.promotion === "unclear") this.#unclear.add(epoch);
    const { phase } = this.controller.state;
    // If this fails or was given up, the old primary serves on, and what became one beside it is stale.
    const isMove = phase.name === "promoting" && phase.back !== undefined ||
      phase.name === "serving" && phase.active.name !== to;
    const isRefused = outcome.how === "failed" && outcome.promotion === "refused";
    if (!isMove && !isRefused) {
      this.#maybe = { name: to, after: this.controller.state.lastChosen };
    }
    if (signal.aborted) return { how: "cancelled" };
    // As `health/promotion.ts` has it: what may have begun is not undone by a later refusal.
    return outcome.how === "failed" && this.#unclear.has(epoch)
      ? { ...outcome, promotion: "unclear" }
      : outcome;
  }

  /** Nobody is promoted while the one chosen last, or one that may have been promoted since, answers as a primary. */
  #mayPromote(to: string): void {
    const { state } = this.controller;
    if (state.lastChosen !== this.#maybe?.after) this.#maybe = undefined;
    // It is left as it is.
    if (this.servers.of(to).role === "primary") return;
    if (state.phase.name === "promoting" && state.phase.back !== undefined) return;
    // It may be one already, and is not left before it says that it is not.
    if (to === this.#maybe?.name && reportOf(state, to)?.role !== "standby") return;
    for (const before of [state.lastChosen, this.#maybe?.name]) {
      if (before === undefined || before === to) continue;
      const isPrimary = takesWrites(state, before) && isUp(state.health.get(before)!, this.policy);
      assert(!isPrimary, `${to} is promoted while ${before} is a primary`);
    }
  }

  async go(): Promise<void> {
    while (this.clock.now() < LENGTH_MS) {
      await this.clock.advance(Math.min(RESTART_MS, LENGTH_MS) * (0.5 + this.dice.fraction()));
      await this.#stop();
      this.seen.restarts++;
      this.#begin();
    }
    await this.#stop();
  }

  async #stop(): Promise<void> {
    const ends = [this.#checker[Symbol.asyncDispose](), this.controller[Symbol.asyncDispose]()];
    const failed = this.controller.finished.catch((error) => error);
    const all = Promise.all(ends);
    await this.clock.advance(4_000);
    await all;
    const error = await failed;
    if (error instanceof Error) throw error;
  }
}

Deno.test("no client is let in to a stale primary, and no second server is promoted, in random schedules", async () => {
  const seen: Seen = { moves: 0, follows: 0, stale: 0, unclear: 0, refused: 0, restarts: 0 };
  for (const seed of seeds(RUNS, firstSeed)) {
    const run = new Run(seed, seen);
    try {
      await run.go();
    } catch (error) {
      const more = `${JSON.stringify(run.policy)}\n${run.log.slice(-40).join("\n")}`;
      throw new Error(`FAILOVER_SEED=${seed}: ${error}\n${more}`, { cause: error });
    }
  }
  if (chosenSeed !== undefined) return;
  for (const [what, count] of Object.entries(seen)) assert(count > 0, `no schedule saw ${what}`);
});
