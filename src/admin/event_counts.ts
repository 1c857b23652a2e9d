/** Counts events by type. `take` must subscribe to the stream before the first event is published. */
import type { Stamped } from "../events/stream.ts";
import type { Labels, Sample } from "./exposition.ts";

interface Count {
  readonly labels: Labels;
  value: number;
}

export class EventCounts {
  readonly #events = new Map<string, Count>();
  readonly #promotions = new Map<string, Count>();

  readonly take = ({ service, event }: Stamped): void => {
    add(this.#events, { service, type: event.type });
    if (event.type === "promotion.finished") add(this.#promotions, { service, move: event.move });
  };

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
  const key = JSON.stringify(labels);
  const count = counts.get(key);
  if (count === undefined) counts.set(key, { labels, value: 1 });
  else count.value++;
}

function samples(counts: ReadonlyMap<string, Count>): readonly Sample[] {
  return [...counts.values()].map(({ labels, value }) => [labels, value]);
}
