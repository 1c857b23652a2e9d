/**
 * What a service must remember when its process ends: which upstream served, which promotion was under way, the last
 * epoch, and the standing orders of the operator. It is taken from the state after each step, and the next
 * run begins with it.
 *
 * The upstream that served last has precedence at the next start: as soon as it passes a check it serves,
 * without triggers, since its promotion is done already. A promotion whose triggers had begun is repeated,
 * since nobody knows how far they came. Other upstreams are considered once that one is down.
 */
import type { FailedMoves, State, TriggerProgress } from "./state.ts";
import type { StandingOrder } from "./orders.ts";
import type { Upstream } from "./upstream.ts";

/** A promotion whose triggers have begun and, as far as is known, not ended. */
export interface Unfinished {
  readonly to: string;
  /** The upstream that served before; undefined if none has. */
  readonly from: string | undefined;
}

/** Which upstream served, and which promotion was under way. */
export interface WhoServed {
  /** The upstream that served clients last, if one has. */
  readonly served: string | undefined;
  readonly unfinished: Unfinished | undefined;
}

/**
 * What the process before this one knew at the moment at which this one took its place. A restart remembers
 * nothing of it, since nobody knows how long that took.
 */
export interface Standing {
  /** The upstream that served, without a promotion under way. */
  readonly active: string;
  /** Since when it has served. */
  readonly since: number;
  /** The verdicts, and since when they are true; upstreams without a verdict are missing. */
  readonly verdicts: ReadonlyMap<string, { readonly isUp: boolean; readonly since: number }>;
}

/** Which upstream served before this run of the process, and which promotion was under way. */
export interface Remembered extends WhoServed {
  /**
   * True when the candidate of the unfinished promotion is down. No client was let through to it, so the
   * others are chosen as after a promotion that was abandoned.
   */
  readonly isGivenUp: boolean;
  readonly standing?: Standing | undefined;
}

/** Upstreams are named as in the operator's list. Times are those of the machine, in milliseconds. */
export interface Memory extends WhoServed {
  /** The number of the last decision: the next one gets a larger number. */
  readonly epoch: number;
  /** As in `State`, and so are all further fields. */
  readonly lastChosen: string | undefined;
  readonly failbacks: readonly number[];
  readonly failedMoves: FailedMoves | undefined;
  readonly paused: StandingOrder | undefined;
  readonly drained: ReadonlyMap<string, StandingOrder>;
  readonly pinned: string | undefined;
  readonly standbys: State["standbys"];
  /** Missing if there was never a decision that several proxies share. */
  readonly fence?: number;
  /** Set if this process takes over from one that serves: it goes on without a check (`restart.ts`). */
  readonly standing?: Standing | undefined;
}

/** Keeps the memory of one service, on disk or for the length of the process. */
export interface MemoryPort {
  /** What is remembered at the start; undefined if there is nothing. */
  readonly remembered: Memory | undefined;
  /** Called after each step that changed the memory. Must not throw, and does not wait. */
  keep(memory: Memory): void;
  /**
   * Resolves when everything that `keep` received is on the disk, or cannot be written, which the implementation
   * reports. Never rejects, and takes at most a few seconds.
   */
  kept(): Promise<void>;
}

/** What must be remembered of this state. */
export function memoryOf(state: State): Memory {
  const { epoch, lastChosen, failbacks, failedMoves, paused, drained, pinned, standbys } = state;
  const { fence } = state;
  return {
    ...whoServed(state),
    ...{ epoch, lastChosen, failbacks, failedMoves, paused, drained, pinned, standbys },
    ...fence === 0 ? {} : { fence },
  };
}

/** The upstream that served clients last, in this run of the process or before it; undefined if none has. */
export function servedLast(
  { lastServed, remembered }: Pick<State, "lastServed" | "remembered">,
): string | undefined {
  return lastServed?.to ?? remembered?.served;
}

function whoServed(state: State): WhoServed {
  const { phase, lastServed, remembered } = state;
  const served = servedLast(state);
  if (phase.name === "promoting") {
    const { promotion: { to, from }, triggers } = phase;
    return { served, unfinished: triggers.is === "due" ? undefined : { to, from } };
  }
  if (phase.name === "serving") {
    const { active: { name }, triggers } = phase;
    const from = lastServed?.promotion?.from;
    return { served: name, unfinished: isOver(triggers) ? undefined : { to: name, from } };
  }
  return { served, unfinished: remembered?.unfinished };
}

/** True if the triggers neither run nor will run. */
export function isOver({ is }: TriggerProgress): boolean {
  return is === "ran" || is === "failed";
}

/** True if both remember the same. */
export function isSameMemory(one: Memory, other: Memory): boolean {
  const { unfinished: mine, ...rest } = one;
  const { unfinished: theirs } = other;
  return mine?.to === theirs?.to && mine?.from === theirs?.from &&
    Object.entries(rest).every(([key, value]) => other[key as keyof Memory] === value);
}

/** The memory without the upstreams that are no longer configured. */
export function listedOnly(memory: Memory, upstreams: readonly Upstream[]): Memory {
  const listed = new Set(upstreams.map(({ name }) => name));
  const ifListed = (name: string | undefined) =>
    name !== undefined && listed.has(name) ? name : undefined;
  const { unfinished, failedMoves, drained, standing } = memory;
  return {
    ...memory,
    standing: standing !== undefined && listed.has(standing.active) ? standing : undefined,
    served: ifListed(memory.served),
    unfinished: unfinished !== undefined && listed.has(unfinished.to)
      ? { to: unfinished.to, from: unfinished.from }
      : undefined,
    lastChosen: ifListed(memory.lastChosen),
    failedMoves: failedMoves !== undefined && listed.has(failedMoves.to) ? failedMoves : undefined,
    drained: new Map([...drained].filter(([name]) => listed.has(name))),
    pinned: ifListed(memory.pinned),
    standbys: new Map([...memory.standbys].filter(([name]) => listed.has(name))),
  };
}

/** What the first state of a process remembers; undefined if that is nothing. */
export function rememberedOf(
  { served, unfinished, standing }: WhoServed & Pick<Memory, "standing">,
): Remembered | undefined {
  if (served === undefined && unfinished === undefined) return undefined;
  return { served, unfinished, isGivenUp: false, ...standing === undefined ? {} : { standing } };
}

/** The promotion that a restart interrupted and that will be repeated; undefined if there is none. */
export function unfinishedOf(remembered: Remembered | undefined): Unfinished | undefined {
  return remembered?.isGivenUp === true ? undefined : remembered?.unfinished;
}

/** The upstream that has precedence after a restart; undefined if none is remembered. */
export function rememberedName(remembered: Remembered | undefined): string | undefined {
  return unfinishedOf(remembered)?.to ?? remembered?.served;
}

/** The upstream that a promotion after a restart moves the traffic away from. */
export function servedBefore({ remembered }: State, candidate: string): string | undefined {
  const unfinished = unfinishedOf(remembered);
  return unfinished?.to === candidate ? unfinished.from : rememberedName(remembered);
}
