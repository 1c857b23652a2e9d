/**
 * The one stream of events of the process. Publishing is synchronous and cannot fail: a subscriber that
 * throws is dropped, with its error kept for `broken`. Subscribers that are slow (a pipe, a webhook)
 * queue for themselves; nothing waits here.
 */
import type { Clock } from "../base/clock.ts";
import type { Event, Publish } from "./events.ts";

/** An event with its place and time. */
export interface Stamped {
  /** Counts from 1 without gaps. */
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Name of the service it happened in; empty for the process itself. */
  readonly service: string;
  readonly event: Event;
}

export type Subscriber = (stamped: Stamped) => void;

export class EventStream {
  readonly #clock: Clock;
  readonly #keep: number;
  readonly #recent: Stamped[] = [];
  readonly #subscribers = new Set<Subscriber>();
  #seq = 0;
  #broken = 0;

  /** `keep` is how many past events `recent` remembers. */
  constructor(clock: Clock, options: { readonly keep: number }) {
    this.#clock = clock;
    this.#keep = options.keep;
  }

  /** The last events, oldest first. */
  get recent(): readonly Stamped[] {
    return this.#recent;
  }

  /** How many subscribers were dropped because they threw. */
  get broken(): number {
    return this.#broken;
  }

  publish(service: string, event: Event): void {
    const stamped: Stamped = { seq: ++this.#seq, time: this.#clock.wall(), service, event };
    this.#recent.push(stamped);
    if (this.#recent.length > this.#keep) this.#recent.shift();
    for (const subscriber of this.#subscribers) {
      try {
        subscriber(stamped);
      } catch {
        // A report must never hurt the decision it reports; it loses its place instead.
        this.#subscribers.delete(subscriber);
        this.#broken++;
      }
    }
  }

  /** A `Publish` that stamps everything with one service's name. */
  scope(service: string): Publish {
    return (event) => this.publish(service, event);
  }

  /** Calls `subscriber` for each event from now on, until the returned function is called. */
  subscribe(subscriber: Subscriber): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }
}
