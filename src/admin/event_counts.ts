/**
 * Counts events by type, and the durations that some of them carry. `take` must be subscribed to the stream before
 * the first event is published.
 */
import { Histogram } from "../base/histogram.ts";
import type { MoveKind } from "../events/events.ts";
import type { Stamped } from "../events/stream.ts";
import type { Labels, Sample } from "./exposition.ts";

interface Count {
  readonly labels: Labels;
  value: number;
}

/** Upper bounds of the buckets for promotions and triggers, in seconds. */
const BOUNDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

const MOVES: readonly MoveKind[] = ["start", "failover", "failback", "switchover", "resume"];

type Durations = Map<string, readonly [Labels, Histogram]>;

/** The counts of the process, which no restart of a service resets. */
export class EventCounts {
  readonly #events = new Map<string, Count>();
  readonly #promotions = new Map<string, Count>();
  readonly #promotionTimes: Durations = new Map();
  readonly #triggerTimes: Durations = new Map();
  readonly #serverPromotionTimes: Durations = new Map();
  readonly #lastPromotions = new Map<string, number>();
  /** By service: the total length of the outages that have ended, and the largest total that was shown. */
  readonly #outageEndedMs = new Map<string, number>();
  readonly #outageShownMs = new Map<string, number>();

  readonly take = ({ service, time, event }: Stamped): void => {
    add(this.#events, { service, type: event.type });
    switch (event.type) {
      case "promotion.finished":
        add(this.#promotions, { service, move: event.move });
        addTime(this.#promotionTimes, { service, move: event.move }, event.tookMs);
        this.#lastPromotions.set(service, time);
        this.#endOutage(service, event.tookMs);
        break;
      case "service.returned":
      case "service.continued":
      case "decision.followed":
        this.#endOutage(service, event.tookMs);
        break;
      case "trigger.finished":
        addTime(this.#triggerTimes, { service, result: "finished" }, event.tookMs);
        break;
      case "trigger.failed":
        addTime(this.#triggerTimes, { service, result: "failed" }, event.tookMs);
        break;
      case "server.promoted":
        addTime(this.#serverPromotionTimes, { service, result: "finished" }, event.tookMs);
        break;
      case "server.promotionFailed":
        addTime(this.#serverPromotionTimes, { service, result: "failed" }, event.tookMs);
        break;
    }
  };

  /**
   * Shows zeros for what a service may count and has not: a counter that appears with its first event looks to
   * Prometheus as if it had never grown.
   */
  begin(service: string): void {
    for (const move of MOVES) {
      const labels = { service, move };
      entryOf(this.#promotions, labels, () => ({ labels, value: 0 }));
      histogramOf(this.#promotionTimes, labels);
    }
    for (const result of ["finished", "failed"]) {
      const labels = { service, result };
      histogramOf(this.#triggerTimes, labels);
    }
  }

  /** How long finished promotions took, by service and move. */
  get promotionTimes(): readonly (readonly [Labels, Histogram])[] {
    return [...this.#promotionTimes.values()];
  }

  /** How long triggers took, by service and result. */
  get triggerTimes(): readonly (readonly [Labels, Histogram])[] {
    return [...this.#triggerTimes.values()];
  }

  /** How long it took to make servers primaries, by service and result; empty where that never happened. */
  get serverPromotionTimes(): readonly (readonly [Labels, Histogram])[] {
    return [...this.#serverPromotionTimes.values()];
  }

  /** When the last promotion of each service finished, in seconds since 1970. */
  get lastPromotions(): readonly Sample[] {
    return [...this.#lastPromotions].map(([service, time]) => [{ service }, time / 1_000]);
  }

  /**
   * How long a service had no upstream in all, in milliseconds. `presentMs`: how long that has lasted now, or
   * 0. Never less than before: the event that ends an outage may come after the state that shows its end.
   */
  outageMs(service: string, presentMs: number): number {
    const sum = Math.max(
      this.#outageShownMs.get(service) ?? 0,
      (this.#outageEndedMs.get(service) ?? 0) + presentMs,
    );
    this.#outageShownMs.set(service, sum);
    return sum;
  }

  #endOutage(service: string, ms: number): void {
    this.#outageEndedMs.set(service, (this.#outageEndedMs.get(service) ?? 0) + ms);
  }

  /** The number of events of each type in each service. */
  get events(): readonly Sample[] {
    return samples(this.#events);
  }

  /** The number of finished promotions of each service, by what moved the traffic. */
  get promotions(): readonly Sample[] {
    return samples(this.#promotions);
  }
}

function add(counts: Map<string, Count>, labels: Labels): void {
  entryOf(counts, labels, () => ({ labels, value: 0 })).value++;
}

function addTime(durations: Durations, labels: Labels, ms: number): void {
  histogramOf(durations, labels).add(ms);
}

function histogramOf(durations: Durations, labels: Labels): Histogram {
  const make = (): readonly [Labels, Histogram] => [labels, new Histogram(BOUNDS)];
  return entryOf(durations, labels, make)[1];
}

function entryOf<Entry>(
  entries: Map<string, Entry>,
  labels: Labels,
  make: () => Entry,
): Entry {
  const key = JSON.stringify(labels);
  let entry = entries.get(key);
  if (entry === undefined) entries.set(key, entry = make());
  return entry;
}

function samples(counts: ReadonlyMap<string, Count>): readonly Sample[] {
  return [...counts.values()].map(({ labels, value }) => [labels, value]);
}
