/**
 * The live feed of events for one reader, as `text/event-stream`. Events for a slow reader wait in a bounded
 * queue; when it is full the oldest are dropped and the feed says how many. A reader that reconnects with
 * the number of the last event it saw (`Last-Event-ID`) gets the missed events that are still kept.
 */
import type { Clock } from "../base/clock.ts";
import type { EventStream, Stamped } from "../events/stream.ts";

/** Most events that wait for one reader. */
export const FEED_QUEUE_MAX = 256;
/**
 * Interval of comments in an idle feed, in milliseconds, which keep proxies from closing the connection.
 */
export const FEED_BEAT_MS = 15_000;

/** How one feed is written, and how it ends. */
export interface FeedOptions {
  readonly clock: Clock;
  /** False if every event is to be a `message` for the reader, whatever its type is; true by default. */
  readonly isNamed?: boolean;
  /** The event as one line of JSON. */
  readonly print: (stamped: Stamped) => string;
  /** Number of the last event that the reader has seen; undefined begins with the next event. */
  readonly after: number | undefined;
  /** Ends the feed. */
  readonly stop: AbortSignal;
  /** Called once, when the reader has left or the feed has ended. */
  readonly onEnd: () => void;
}

/** The feed as a response body. It subscribes to the events until it ends or is cancelled. */
export function feed(events: EventStream, options: FeedOptions): ReadableStream<Uint8Array> {
  const { clock, isNamed = true, print, after, stop, onEnd } = options;
  const encoder = new TextEncoder();
  const queue: string[] = ["retry: 2000\n\n"];
  let lost = 0;
  let ended = false;
  let wake = () => {};
  let cancelBeat = () => {};
  const push = (text: string) => {
    queue.push(text);
    wake();
  };
  const take = (stamped: Stamped) => {
    if (queue.length >= FEED_QUEUE_MAX) {
      queue.shift();
      lost++;
    }
    const name = isNamed ? `event: ${stamped.event.type}\n` : "";
    push(`id: ${stamped.seq}\n${name}data: ${print(stamped)}\n\n`);
  };
  const beat = () => {
    if (queue.length === 0) push(": nothing new\n\n");
    cancelBeat = clock.after(FEED_BEAT_MS, beat);
  };
  const end = () => {
    if (ended) return;
    ended = true;
    leave();
    cancelBeat();
    stop.removeEventListener("abort", end);
    wake();
    onEnd();
  };
  for (const stamped of missed(events, after)) take(stamped);
  const leave = events.subscribe(take);
  cancelBeat = clock.after(FEED_BEAT_MS, beat);
  if (stop.aborted) end();
  stop.addEventListener("abort", end);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (queue.length === 0 && !ended) {
        await new Promise<void>((resolve) => wake = resolve);
      }
      // A feed that was ended still sends its queue; after a cancel an error here has no effect.
      if (queue.length > 0) {
        const notice = lost === 0 ? "" : `event: lost\ndata: {"count":${lost}}\n\n`;
        lost = 0;
        controller.enqueue(encoder.encode(notice + queue.splice(0).join("")));
      }
      if (ended) controller.close();
    },
    cancel: end,
  }, { highWaterMark: 0 });
}

/** Event numbers restart with the process, so a number beyond the present one is from an earlier run. */
function missed(events: EventStream, after: number | undefined): readonly Stamped[] {
  if (after === undefined) return [];
  const newest = events.recent.at(-1)?.seq ?? 0;
  return after > newest ? events.recent : events.recent.filter((stamped) => stamped.seq > after);
}
