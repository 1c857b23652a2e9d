/**
 * How the upstreams of a simulation really are. They start, stop and freeze at random times, and at others our own
 * machine lacks what a check needs, so that checks give no verdict.
 */
import type { Settings } from "./settings.ts";
import type { VirtualTime } from "./virtual_time.ts";

export type Condition = "well" | "refusing" | "denying" | "silent";

/** The mean time from the beginning of one shortage to that of the next, in milliseconds. */
const SHORTAGE_CYCLE_MS = 20_000;

export class UpstreamConditions {
  /** By upstream: its condition, and since when it has that. */
  readonly all: Map<string, { readonly condition: Condition; readonly since: number }>;
  /** Whether checks give no verdict at present, and since when that is so. */
  shortage: { readonly isShort: boolean; readonly since: number } = { isShort: false, since: 0 };
  readonly #settings: Settings;
  readonly #time: VirtualTime;
  readonly #random: () => number;

  constructor(
    names: readonly string[],
    settings: Settings,
    time: VirtualTime,
    random: () => number,
  ) {
    this.#settings = settings;
    this.#time = time;
    this.#random = random;
    this.all = new Map(names.map((name) => [name, { condition: this.#draw(), since: 0 }]));
  }

  of(name: string): Condition {
    return this.all.get(name)!.condition;
  }

  planChanges(): void {
    for (const name of this.all.keys()) this.#planChange(name);
  }

  planShortage(): void {
    const { shortage } = this.#settings;
    if (shortage === 0) return;
    const { isShort } = this.shortage;
    const meanMs = SHORTAGE_CYCLE_MS * (isShort ? shortage : 1 - shortage);
    this.#time.after(-Math.log(1 - this.#random()) * meanMs, () => {
      this.shortage = { isShort: !isShort, since: this.#time.now };
      this.planShortage();
    });
  }

  #planChange(name: string): void {
    this.#time.after(-Math.log(1 - this.#random()) * this.#settings.meanChangeMs, () => {
      const condition = this.#draw();
      if (this.of(name) !== condition) this.all.set(name, { condition, since: this.#time.now });
      this.#planChange(name);
    });
  }

  #draw(): Condition {
    const roll = this.#random();
    return roll < 0.55 ? "well" : roll < 0.75 ? "refusing" : roll < 0.88 ? "silent" : "denying";
  }
}
