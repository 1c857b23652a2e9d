/** The checker, the controller and the machine themselves, in virtual time, with a recorder. */
import { ManualClock } from "../../base/clock.ts";
import { EventStream } from "../../events/stream.ts";
import { Controller } from "../../failover/controller.ts";
import type { Probe, ProbeResult, TriggerOutcome } from "../../failover/ports.ts";
import type { Policy } from "../../failover/state.ts";
import { POLICY } from "../../failover/testing/policy.ts";
import { Checker, DOUBT_MS } from "../../health/checker.ts";
import { Incidents } from "../incidents.ts";
import type { Recorded } from "../recording.ts";
import { PASSED } from "../../failover/testing/results.ts";

const INTERVAL_MS = 2_000;

export class Live implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly incidents: Incidents;
  readonly controller: Controller;
  /** How each upstream answers a check now; it passes by default. */
  readonly answers = new Map<string, ProbeResult>();
  triggers: { readonly tookMs: number; readonly outcome: TriggerOutcome } = {
    tookMs: 0,
    outcome: { how: "ran" },
  };
  readonly #checker: Checker;

  constructor(policy: Partial<Policy> = {}, hosts: readonly string[] = ["a", "b"]) {
    const { clock } = this;
    const wait = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
    const events = new EventStream(clock, { keep: 10 });
    this.incidents = new Incidents([{ name: "shop", primary: hosts[0]!, configHash: "c0ffee" }], {
      clock,
      version: "1.2.3",
      counters: () => ({}),
    });
    events.subscribe(this.incidents.take);
    const observer = this.incidents.observer("shop");
    const full = { ...POLICY, ...policy };
    observer.begin({ steadyMs: INTERVAL_MS, doubtMs: DOUBT_MS });
    const done = () => Promise.resolve();
    const upstreams = hosts.map((name, rank) => ({
      name,
      rank,
      address: { kind: "tcp" as const, host: name, port: 1 },
    }));
    const controller: Controller = new Controller(upstreams, full, {
      clock,
      publish: events.scope("shop"),
      plane: {
        ...{ open: done, hold: done, refuse: done, confirm: done, drain: done, spare: done },
        busy: () => Promise.resolve(0),
      },
      checks: {
        now: (upstream) => this.#checker.now(upstream),
        pace: (upstream, pace) => this.#checker.pace(upstream, pace),
      },
      triggers: {
        run: async () => {
          const { tookMs, outcome } = this.triggers;
          await wait(tookMs);
          return outcome;
        },
      },
      onStep: (taken) => observer.step(taken),
    });
    this.controller = controller;
    const probe: Probe = async ({ name }) => {
      const result = this.answers.get(name) ?? PASSED;
      await wait(result.tookMs);
      return result;
    };
    this.#checker = new Checker({
      ...{ upstreams, probe, connection: probe, intervalMs: INTERVAL_MS, doubtMs: DOUBT_MS },
      probeMaxMs: 60_000,
    }, {
      clock,
      random: () => 0.5,
      context: () => ({ lastChosen: undefined, phase: "serving", epoch: 1 }),
      stage: () => controller.state.stage,
      post: (upstream, result, stage) =>
        controller.post({ type: "probed", upstream, result, stage }),
    });
    controller.post({ type: "begun" });
  }

  /** The recorded inputs of the newest incident. */
  async recorded(): Promise<Recorded> {
    return (await this.incidents.inputs(this.incidents.list().at(-1)!.id))!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ends = [this.#checker[Symbol.asyncDispose](), this.controller[Symbol.asyncDispose]()];
    await this.clock.advance(120_000);
    await Promise.all(ends);
  }
}
