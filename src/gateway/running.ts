/**
 * The attempts that upstreams are working on. They are ended when their upstream goes down, when no byte has
 * moved for too long, or when the time to drain is up. One tick checks all of them for progress, so that a
 * byte that passes costs nothing.
 */
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { type Member, Slab } from "../base/slab.ts";
import type { Publish } from "../events/events.ts";
import { DrainRunner } from "../failover/drain_runner.ts";
import type { DrainOrder, DrainScope } from "../failover/ports.ts";
import type { CoarseTimed, Deadlines } from "../net/deadlines.ts";

/** One attempt of an exchange, from the sending of its request on. */
export interface Drainable extends Member {
  /** The value of `moved` at the last change that a tick saw, and the time of that tick; set by `Running`. */
  count: number;
  at: number;
  readonly upstream: string;
  /** The epoch of the decision under which it began. */
  readonly epoch: number;
  /** Grows with every byte that moves either way. */
  moved(): number;
  /** Ends it with this fault; whether it is retried is for the forwarder to decide. */
  cut(fault: Fault): void;
}

/** The attempts of one service in one thread. */
export class Running implements CoarseTimed {
  place = -1;
  readonly #deadlines: Deadlines;
  #idleMs: number;
  readonly #attempts = new Slab<Drainable>();
  readonly #drains: DrainRunner<Drainable>;
  #cut = 0;

  /** `idleMs`: an attempt in which no byte moves for this long is ended, in milliseconds; 0 is never. */
  constructor(clock: Clock, deadlines: Deadlines, publish: Publish, idleMs: number) {
    this.#deadlines = deadlines;
    this.#idleMs = idleMs;
    this.#drains = new DrainRunner({
      concerned: (order) => this.#concerned(order),
      hasMoved: (attempt, ms) => this.#hasMoved(attempt, ms),
      cut: (attempt, { reason }) => attempt.cut(new Fault("upstreamDown", reason)),
      after: (ms, run) => clock.after(ms, run),
      countCut: (count) => this.#cut += count,
      publish,
    });
  }

  /** Changes how long an attempt may last in which no byte moves; as in the constructor. */
  setIdle(idleMs: number): void {
    this.#idleMs = idleMs;
  }

  get size(): number {
    return this.#attempts.size;
  }

  /** Attempts that were ended because their upstream went down. */
  get cut(): number {
    return this.#cut;
  }

  /** How many attempts an upstream is working on, of the epoch `throughEpoch` or older. */
  count(of: DrainScope): number {
    return this.#concerned(of).length;
  }

  #concerned({ upstream, throughEpoch }: DrainScope): readonly Drainable[] {
    return this.#attempts.all().filter((attempt) =>
      attempt.upstream === upstream && attempt.epoch <= throughEpoch
    );
  }

  add(attempt: Drainable): void {
    if (this.#attempts.size === 0) this.#deadlines.add(this);
    attempt.count = 0;
    attempt.at = this.#deadlines.now;
    this.#attempts.add(attempt);
  }

  delete(attempt: Drainable): void {
    if (this.#attempts.delete(attempt) && this.#attempts.size === 0) this.#deadlines.delete(this);
  }

  tick(now: number): void {
    for (const attempt of this.#attempts.all()) {
      const count = attempt.moved();
      if (count !== attempt.count) {
        attempt.count = count;
        attempt.at = now;
      } else if (this.#idleMs > 0 && now - attempt.at > this.#idleMs) {
        attempt.cut(new Fault("idleTimeout"));
      }
    }
  }

  /** Ends attempts as ordered, after the grace period. Replaces an earlier order for the same upstream. */
  drain(order: DrainOrder): void {
    this.#drains.begin(order);
  }

  /** Cancels the drain of an upstream, if its order is revocable. */
  spare(upstream: string): void {
    this.#drains.spare(upstream);
  }

  #hasMoved(attempt: Drainable, ms: number): boolean {
    return this.#deadlines.now - attempt.at < ms || attempt.moved() !== attempt.count;
  }

  /** Cancels all drains that are still to come. */
  close(): void {
    this.#drains.close();
  }
}
