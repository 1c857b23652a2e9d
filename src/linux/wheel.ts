/**
 * Deadlines by the thousand: setting and clearing one costs a few pointers and allocates nothing. Time is
 * cut into ticks and the wheel has a slot per tick; a deadline further off than one round stays in its
 * slot until its round has come. It fires up to a tick late and never early.
 */

/** Something with one deadline. The wheel owns these fields while it is set. */
export interface Timed {
  /** When it is due, in the loop's milliseconds; `NEVER` when it is not set. */
  due: number;
  /** Neighbours in the slot: each slot is a ring that begins and ends at its own head. */
  next: Timed | undefined;
  previous: Timed | undefined;
  expire(now: number): void;
}

export const NEVER = Infinity;
const TICK_MS = 16;
const SLOTS = 512;

export class Wheel {
  readonly #slots: Timed[] = Array.from({ length: SLOTS }, () => {
    const head: Timed = { due: NEVER, next: undefined, previous: undefined, expire() {} };
    head.next = head.previous = head;
    return head;
  });
  #tick: number;
  #size = 0;

  constructor(now: number) {
    this.#tick = Math.floor(now / TICK_MS);
  }

  /** How many deadlines are set. */
  get size(): number {
    return this.#size;
  }

  /** Sets or moves the deadline of `timed`. */
  set(timed: Timed, due: number): void {
    this.clear(timed);
    const tick = Math.max(this.#tick + 1, Math.ceil(due / TICK_MS));
    const head = this.#slots[tick % SLOTS]!;
    timed.due = due;
    timed.next = head;
    timed.previous = head.previous;
    head.previous!.next = timed;
    head.previous = timed;
    this.#size++;
  }

  clear(timed: Timed): void {
    if (timed.next === undefined) return;
    timed.next.previous = timed.previous;
    timed.previous!.next = timed.next;
    timed.next = timed.previous = undefined;
    timed.due = NEVER;
    this.#size--;
  }

  /** Milliseconds until there may be something to expire, at most `maxMs`. */
  waitMs(now: number, maxMs: number): number {
    if (this.#size === 0) return maxMs;
    const last = Math.floor((now + maxMs) / TICK_MS);
    for (let tick = this.#tick + 1; tick <= last; tick++) {
      const head = this.#slots[tick % SLOTS]!;
      if (head.next !== head) return Math.max(0, Math.ceil(tick * TICK_MS - now));
    }
    return maxMs;
  }

  /** Expires what is due. What it sets anew for now or earlier comes with the next tick. */
  advance(now: number): void {
    const until = Math.floor(now / TICK_MS);
    // After a long sleep one round sees every slot.
    const from = Math.max(this.#tick + 1, until - SLOTS + 1);
    for (let tick = from; tick <= until; tick++) {
      this.#tick = tick;
      this.#expireSlot(this.#slots[tick % SLOTS]!, now);
    }
    this.#tick = Math.max(this.#tick, until);
  }

  #expireSlot(head: Timed, now: number): void {
    // An expiry may clear any other deadline, so the ring is walked by moving each to the back once.
    let left = 0;
    for (let timed = head.next!; timed !== head; timed = timed.next!) left++;
    for (; left > 0 && head.next !== head; left--) {
      const timed = head.next!;
      const due = timed.due;
      this.clear(timed);
      if (due <= now) timed.expire(now);
      else this.#putBack(head, timed, due);
    }
  }

  #putBack(head: Timed, timed: Timed, due: number): void {
    timed.due = due;
    timed.next = head;
    timed.previous = head.previous;
    head.previous!.next = timed;
    head.previous = timed;
    this.#size++;
  }
}
