/** A real controller in virtual time whose incidents are recorded; its data plane and triggers do nothing. */
import { ManualClock } from "../../base/clock.ts";
import { Histogram, HOLD_BOUNDS } from "../../base/histogram.ts";
import { EventStream } from "../../events/stream.ts";
import { Controller } from "../../failover/controller.ts";
import type { ProbeResult, TriggerOutcome } from "../../failover/ports.ts";
import type { Policy } from "../../failover/state.ts";
import { POLICY } from "../../failover/testing/policy.ts";
import { Incidents } from "../incidents.ts";
import type { IncidentCounters, IncidentRecord } from "../record.ts";
import { upstreamsOf } from "../../failover/testing/results.ts";
import { IDLE_PLANE } from "../../failover/testing/idle_plane.ts";

export class IncidentFixture implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly events = new EventStream(this.clock, { keep: 1_000 });
  readonly controller: Controller;
  readonly incidents: Incidents;
  /** What the data plane counts. */
  readonly counters: { -readonly [K in keyof IncidentCounters]: IncidentCounters[K] } = {
    held: 0,
    released: 0,
    lost: 0,
    clientReceivedBytes: 0,
  };
  readonly holdTimes = new Histogram(HOLD_BOUNDS);
  /** How long triggers take in milliseconds, and how they end. */
  triggers: { readonly tookMs: number; readonly outcome: TriggerOutcome } = {
    tookMs: 0,
    outcome: { how: "ran" },
  };

  constructor(policy: Partial<Policy> = {}, hosts: readonly string[] = ["a", "b"]) {
    const service = { name: "shop", primary: hosts[0]!, configHash: "c0ffee" };
    this.incidents = new Incidents([service], {
      clock: this.clock,
      version: "1.2.3",
      counters: () => ({ ...this.counters, holdTimes: this.holdTimes }),
    });
    this.events.subscribe(this.incidents.take);
    const observer = this.incidents.observer("shop");
    const full = { ...POLICY, ...policy };
    observer.begin({ steadyMs: 2_000, doubtMs: 500 });
    const publish = this.events.scope("shop");
    this.controller = new Controller(upstreamsOf(...hosts), full, {
      clock: this.clock,
      publish,
      plane: IDLE_PLANE,
      checks: { now: () => {}, pace: () => {} },
      triggers: {
        run: async ({ epoch }) => {
          const { tookMs, outcome } = this.triggers;
          publish({ type: "trigger.started", program: "/promote", epoch });
          await new Promise<void>((resolve) => this.clock.after(tookMs, resolve));
          publish({ type: "trigger.finished", program: "/promote", epoch, tookMs });
          return outcome;
        },
      },
      onStep: (taken) => observer.step(taken),
    });
  }

  /** Begins, and answers the first check of each upstream in order. */
  async start(...answers: readonly ProbeResult[]): Promise<void> {
    this.controller.post({ type: "begun" });
    for (const [at, result] of answers.entries()) {
      await this.answer(this.controller.state.upstreams[at]!.name, result);
    }
  }

  /** Posts a check result of this moment, and lets its effects be performed. */
  async answer(upstream: string, result: ProbeResult, times = 1): Promise<void> {
    for (let i = 0; i < times; i++) {
      const { stage } = this.controller.state;
      this.controller.post({ type: "probed", upstream, result, stage });
      await this.clock.advance(0);
    }
  }

  /** The newest incident. */
  get last(): IncidentRecord {
    return this.incidents.list().at(-1)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.controller[Symbol.asyncDispose]();
    await this.clock.advance(60_000);
    await ended;
  }
}
