/**
 * A counting semaphore: a limit on how many of something there may be at one time, for example clients, or those
 * of them that wait. One permit is held for each. Nothing here waits: a caller that gets no permit asks again when
 * one may have been released.
 */

/** A number of permits, for one thread or shared by several. */
export interface Semaphore {
  /** How many permits there are. */
  readonly max: number;
  /** How many are held now; more than `max` after `acquireAnyway`. */
  readonly acquired: number;
  /** True while a thread with which they are shared has found no free one and would take one. */
  readonly isWanted: boolean;
  /** Takes a permit if one is free; the caller then releases it. */
  tryAcquire(): boolean;
  /** Takes a permit even if none is free; the caller releases it. */
  acquireAnyway(): void;
  /** Gives one permit back. */
  release(): void;
  /** Asks the threads with which they are shared to release one, if they can spare it. */
  askForRelease(): void;
}

/** A semaphore of one thread. */
export class LocalSemaphore implements Semaphore {
  acquired = 0;
  readonly isWanted = false;

  /** `max` may be changed; permits that are held are not taken back. */
  constructor(public max: number) {}

  tryAcquire(): boolean {
    if (this.acquired >= this.max) return false;
    this.acquired++;
    return true;
  }

  acquireAnyway(): void {
    this.acquired++;
  }

  release(): void {
    this.acquired--;
  }

  /** Without effect: no other thread has permits. */
  askForRelease(): void {}
}
