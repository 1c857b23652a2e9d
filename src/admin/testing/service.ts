/** A service for tests of the admin endpoints: a real controller with a data plane that does nothing. */
import { ManualClock } from "../../base/clock.ts";
import { Histogram, HOLD_BOUNDS } from "../../base/histogram.ts";
import { EventStream } from "../../events/stream.ts";
import { Controller } from "../../failover/controller.ts";
import type { ProbeResult } from "../../failover/ports.ts";
import type { Policy } from "../../failover/state.ts";
import { POLICY } from "../../failover/testing/policy.ts";
import { Incidents } from "../../incidents/incidents.ts";
import type { AdminSettings } from "../admin.ts";
import { EventCounts } from "../event_counts.ts";
import type { ServiceCounters, ServiceView, UpstreamRequestTimes } from "../view.ts";
import { upstreamsOf } from "../../failover/testing/results.ts";
import { IDLE_PLANE } from "../../failover/testing/idle_plane.ts";

const ADMIN_POLICY: Policy = { ...POLICY, holdWhile: "down", failback: { kind: "manual" } };

/** The settings of an admin app for these services of one process; `changes` replaces some of them. */
export function adminSettings(
  services: readonly TestService[],
  changes: Partial<AdminSettings> = {},
): AdminSettings {
  const { clock, events, eventCounts, incidents } = services[0]!;
  return {
    clock,
    services: services.map(({ view }) => view),
    events,
    eventCounts,
    incidents,
    isStopping: () => false,
    facts: () => ({
      version: "1.2.3",
      now: 0,
      startedAt: 0,
      memoryBytes: 1,
      config: { hash: "abc", readAt: 5_000 },
      logLinesLost: 0,
      notificationsLost: 0,
      reportsBroken: 0,
    }),
    sentence: ({ type }) => type,
    stop: new AbortController().signal,
    ...changes,
  };
}

export class TestService implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly events = new EventStream(this.clock, { keep: 100 });
  readonly eventCounts = new EventCounts();
  readonly incidents: Incidents;
  readonly controller: Controller;
  readonly view: ServiceView;
  readonly holdTimes = new Histogram(HOLD_BOUNDS);
  readonly requestTimes: UpstreamRequestTimes[] = [];

  constructor(
    options: {
      readonly policy?: Partial<Policy>;
      readonly name?: string;
      readonly counters?: ServiceCounters;
    } = {},
  ) {
    const { name = "", counters = {} } = options;
    const policy = { ...ADMIN_POLICY, ...options.policy };
    this.events.subscribe(this.eventCounts.take);
    this.incidents = new Incidents([{ name, primary: "a", configHash: "c0ffee" }], {
      clock: this.clock,
      version: "1.2.3",
      counters: () => counters,
    });
    this.events.subscribe(this.incidents.take);
    const observer = this.incidents.observer(name);
    observer.begin({ steadyMs: 2_000, doubtMs: 500 });
    const controller = new Controller(upstreamsOf("a", "b"), policy, {
      clock: this.clock,
      publish: this.events.scope(name),
      plane: IDLE_PLANE,
      checks: { now: () => {}, pace: () => {} },
      triggers: { run: () => Promise.resolve({ how: "ran" } as const) },
      onStep: (taken) => observer.step(taken),
    });
    this.controller = controller;
    this.view = {
      name,
      mode: "http",
      policy,
      state: () => controller.state,
      history: (upstream) => controller.history.of(upstream),
      checkDurations: (upstream) => controller.history.durations(upstream),
      counters: () => counters,
      holdTimes: () => this.holdTimes,
      requestTimes: () => this.requestTimes,
      nextCheckAt: (upstream) => upstream === "a" ? this.clock.now() + 2_000 : undefined,
      order: (order, source, onOutcome) => controller.order(order, source, onOutcome),
    };
  }

  /** Starts the service; the arguments are the first probe results of both upstreams. */
  async start(a: ProbeResult, b: ProbeResult): Promise<void> {
    this.controller.post({ type: "begun" });
    await this.answer("a", a);
    await this.answer("b", b);
  }

  async answer(upstream: string, result: ProbeResult, times = 1): Promise<void> {
    for (let i = 0; i < times; i++) {
      this.controller.post({
        type: "probed",
        upstream,
        result,
        stage: this.controller.state.stage,
      });
    }
    await this.clock.advance(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.controller[Symbol.asyncDispose]();
  }
}
