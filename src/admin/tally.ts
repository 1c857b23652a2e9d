/** Counts events as they pass: subscribe `take` to the stream before the first is published. */
import type { Stamped } from "../events/stream.ts";
import type { Labels, Sample } from "./exposition.ts";

interface Count {
  readonly labels: Labels;
  value: number;
}

export class Tally {
  readonly #events = new Map<string, Count>();
  readonly #promotions = new Map<string, Count>();

  readonly take = ({ service, event }: Stamped): void => {
    add(this.#events, { service, type: event.type });
    if (event.type === "promotion.finished") add(this.#promotions, { service, move: event.move });
  };

  /** How often each type of event happened in each service. */
  get events(): readonly Sample[] {
    return samples(this.#events);
  }

  /** How many promotions were finished, by what moved the traffic. */
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
