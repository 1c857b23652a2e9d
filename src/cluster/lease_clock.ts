/**
 * How long a lease certainly lasts, by the clock of this process. etcd counts from when it got the last
 * renewal, which is after that was sent, so a lease lasts at least until the sending plus its length. The end
 * here is earlier by a margin, in which triggers can be ended before another proxy may lead.
 */
import type { Clock } from "../base/clock.ts";

/** Shortest margin before the end of a lease, in milliseconds: programs get 2 s to end. */
const MARGIN_MIN_MS = 2_500;
/** The margin as a share of the lease. */
const MARGIN_SHARE = 0.3;
/** How far the clock on the wall may run ahead of the monotonic one before a lease is in doubt, in ms. */
const DRIFT_MS = 1_000;

/** The margin of a lease of `ttlMs` milliseconds. */
export function marginMs(ttlMs: number): number {
  return Math.max(MARGIN_MIN_MS, ttlMs * MARGIN_SHARE);
}

/** A moment by both clocks, in milliseconds. */
export interface SentAt {
  /** By the clock that never goes back. */
  readonly at: number;
  /** How far the clock on the wall is ahead of that one. */
  readonly offset: number;
}

/**
 * The time of one lease. The clock that never goes back may stand still while the machine is suspended, and
 * then the clock on the wall jumps: the lease is in doubt until it is renewed.
 */
export class LeaseClock {
  readonly #clock: Clock;
  #until = -Infinity;
  #offset = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The present moment, for a call that is sent now. */
  moment(): SentAt {
    const at = this.#clock.now();
    return { at, offset: this.#clock.wall() - at };
  }

  /**
   * The lease was made or renewed for `ttlMs` milliseconds, by a call that was sent at `sent`. The machine may have been
   * suspended since, while the answer was under way: then the lease is in doubt at once.
   */
  renewed(sent: SentAt, ttlMs: number): void {
    this.#until = sent.at + ttlMs - marginMs(ttlMs);
    this.#offset = sent.offset;
  }

  /** The lease is over, or there is none. */
  end(): void {
    this.#until = -Infinity;
  }

  /** Whether the lease certainly lasts. */
  get isValid(): boolean {
    return this.leftMs > 0;
  }

  /** The milliseconds until the margin begins; 0 if it has begun. */
  get leftMs(): number {
    return Math.max(0, this.#until - this.#clock.now());
  }

  /** When the margin begins, as a time of the clock; `-Infinity` without a lease. */
  get until(): number {
    return this.#until;
  }

  /** Whether the clock on the wall has jumped ahead since the last renewal was sent, as after a suspension. */
  get isInDoubt(): boolean {
    const offset = this.#clock.wall() - this.#clock.now();
    return this.#until !== -Infinity && offset - this.#offset > DRIFT_MS;
  }
}
