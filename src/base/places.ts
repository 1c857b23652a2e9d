/** A limit on how many of something there may be at one time: clients, or those of them that wait. */

export interface Places {
  readonly max: number;
  /** How many are taken now. */
  readonly taken: number;
  /** True while somebody with whom they are shared waits for one. */
  readonly isWanted: boolean;
  /** Takes one if there is a free one; the caller gives it back. */
  take(): boolean;
  /** Takes one even if none is free; the caller gives it back. */
  add(): void;
  give(): void;
  /** Asks those with whom they are shared to give one back, if they can spare it. */
  ask(): void;
}

/** Places of one thread. */
export class LocalPlaces implements Places {
  taken = 0;
  readonly isWanted = false;

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

  /** They are shared with nobody. */
  ask(): void {}
}
