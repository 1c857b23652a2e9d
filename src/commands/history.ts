/** The last moves of all services, read from the events that the proxy remembers. Pure. */

/** An event as `/__failover/events` has it. */
export interface PastEvent {
  readonly seq: number;
  readonly time: string;
  readonly service: string;
  readonly event: string;
  readonly message: string;
  readonly id?: string;
  readonly move?: string;
  readonly from?: string;
  readonly to?: string;
  readonly reason?: string;
}

/** A move and how it ended. */
export interface Move {
  readonly id: string;
  readonly time: string;
  readonly service: string;
  readonly outcome: "finished" | "abandoned";
  readonly message: string;
}

const ENDS: Readonly<Record<string, Move["outcome"]>> = {
  "promotion.finished": "finished",
  "promotion.abandoned": "abandoned",
};

/** The moves that have ended, oldest first. */
export function movesOf(events: readonly PastEvent[]): readonly Move[] {
  return events.flatMap(({ id, time, service, event, message }) => {
    const outcome = ENDS[event];
    return outcome === undefined || id === undefined
      ? []
      : [{ id, time, service, outcome, message }];
  });
}

/**
 * The events of one move: those of its service from the end of the move before to its own. Undefined if it is
 * not among the events that are remembered.
 */
export function eventsOf(
  events: readonly PastEvent[],
  id: string,
): readonly PastEvent[] | undefined {
  const end = events.findLastIndex((each) => each.id === id && ENDS[each.event] !== undefined);
  if (end < 0) return undefined;
  const { service } = events[end]!;
  const own = events.slice(0, end + 1).filter((each) => each.service === service);
  const before = own.slice(0, -1).findLastIndex(({ event }) => ENDS[event] !== undefined);
  return own.slice(before + 1);
}

/** One line for each move: time, id, service and what happened. */
export function historyText(moves: readonly Move[]): string {
  if (moves.length === 0) return "no move among the last events";
  return moves.map(({ time, id, service, message }) => `${time}  ${id}  [${service}] ${message}`)
    .join("\n");
}

/** One line for each event. */
export function eventsText(events: readonly PastEvent[]): string {
  return events.map(eventLine).join("\n");
}

export function eventLine({ time, service, message }: PastEvent): string {
  return `${time}  ${service === "" ? "" : `[${service}] `}${message}`;
}
