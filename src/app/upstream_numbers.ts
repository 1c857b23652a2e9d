/**
 * The numbers by which threads count for upstreams: an upstream keeps its number as long as the service runs, also if
 * its rank changes or it is listed again, and no other one gets it. Part of the composition root.
 */
import type { UpstreamRequestTimes } from "../admin/view.ts";
import { NO_UPSTREAM, type RequestTimes, UPSTREAMS } from "../gateway/request_times.ts";

/** The last number, which all further upstreams share. */
const LAST = UPSTREAMS - 2;
const OTHERS = "_OTHER";

/** The numbers of one service. */
export class UpstreamNumbers {
  readonly #names: string[] = [];
  readonly #numbers = new Map<string, number>();

  /** The number of each of these upstreams. */
  of(names: readonly string[]): Readonly<Record<string, number>> {
    return Object.fromEntries(names.map((name) => [name, this.#numberOf(name)]));
  }

  /** The upstream of a number; `none` for the answers that no upstream gave. */
  nameOf(number: number | undefined): string {
    if (number === NO_UPSTREAM) return "none";
    return number === undefined ? OTHERS : this.#names[number] ?? OTHERS;
  }

  #numberOf(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    if (this.#names.length >= LAST) return LAST;
    this.#numbers.set(name, this.#names.length);
    return this.#names.push(name) - 1;
  }
}

/** What was counted by number, by name. */
export function timesByName(
  times: readonly RequestTimes[],
  numbers: UpstreamNumbers,
): readonly UpstreamRequestTimes[] {
  return times.map(({ upstream, ...rest }) => ({ ...rest, upstream: numbers.nameOf(upstream) }));
}
