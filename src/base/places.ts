/** A limit on how many of something there may be at one time: clients, or those of them that wait. */

export interface Places {
  readonly max: number;
  /** How many are taken now. */
  readonly taken: number;
  /** Takes one if there is a free one; the caller gives it back. */
  take(): boolean;
  /** Takes one even if none is free; the caller gives it back. */
  add(): void;
  give(): void;
}

/** Places of one thread. */
export class LocalPlaces implements Places {
  taken = 0;

  constructor(readonly max: number) {}

  take(): boolean {
    if (this.taken >= this.max) return false;
    this.taken++;
    return true;
  }

  add(): void {
    this.taken++;
  }

  give(): void {
    this.taken--;
  }
}
