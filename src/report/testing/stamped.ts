/** An event as the log receives it: the first one, at a fixed time. */
import type { Event } from "../../events/events.ts";
import type { Stamped } from "../../events/stream.ts";

export function stamped(event: Event, service = "orders"): Stamped {
  return { seq: 1, time: Date.UTC(2026, 10, 21, 3, 0, 0, 123), service, event };
}
