/**
 * The event stream of the process. Publishing is synchronous and cannot fail: a subscriber that throws is
 * removed and counted in `broken`. Subscribers with a slow sink (a pipe, a webhook) have queues of their
 * own; nothing waits here.
 */
import type { Clock } from "../base/clock.ts";
import type { Event, Publish } from "./events.ts";

/** An event with its number, time and service. */
export interface Stamped {
  /** Number of the event, from 1, without gaps. */
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Name of the service in which it happened; empty for the process itself. */
  readonly service: string;
  readonly event: Event;
}

/** Receives each event, in order. It must return at once; if it throws it is removed. */
export type Subscriber = (stamped: Stamped) => void;

/** The stream and its last events. Events are numbered from 1. */
export class EventStream {
  readonly #clock: Clock;
  readonly #keep: number;
  readonly #recent: Stamped[] = [];
  readonly #subscribers = new Set<Subscriber>();
  #seq = 0;
  #broken = 0;

  /** `keep`: the number of past events in `recent`. */
  constructor(clock: Clock, options: { readonly keep: number }) {
    this.#clock = clock;
    this.#keep = options.keep;
  }

  /** The last events, oldest first. */
  get recent(): readonly Stamped[] {
    return this.#recent;
  }

  /** The number of subscribers that were removed because they threw. */
  get broken(): number {
    return this.#broken;
  }

  /** Calls all subscribers. `service` is empty for an event of the process itself. */
  publish(service: string, event: Event): void {
    const stamped: Stamped = { seq: ++this.#seq, time: this.#clock.wall(), service, event };
    this.#recent.push(stamped);
    if (this.#recent.length > this.#keep) this.#recent.shift();
    for (const subscriber of this.#subscribers) {
      try {
        subscriber(stamped);
      } catch {
        // A report must never disturb the decision that it reports, so the subscriber is removed.
        this.#subscribers.delete(subscriber);
        this.#broken++;
      }
    }
  }

  /** Returns a `Publish` for the events of one service. */
  scope(service: string): Publish {
    return (event) => this.publish(service, event);
  }

  /** Calls `subscriber` for each event from now on, until the returned function is called. */
  subscribe(subscriber: Subscriber): () => void {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }
}
