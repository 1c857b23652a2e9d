import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { EventStream } from "../events/stream.ts";
import { feed, FEED_BEAT_MS, FEED_QUEUE_MAX } from "./feed.ts";

const PORT = { type: "port.opened", address: "a:1" } as const;

/** A feed with a reader of text. */
function read(events: EventStream, clock: ManualClock, after?: number) {
  const stop = new AbortController();
  let ends = 0;
  let printed = 0;
  const reader = feed(events, {
    clock,
    print: ({ seq }) => {
      printed++;
      return `{"n":${seq}}`;
    },
    after,
    stop: stop.signal,
    onEnd: () => ends++,
  }).pipeThrough(new TextDecoderStream()).getReader();
  return {
    stop,
    ends: () => ends,
    printed: () => printed,
    next: async () => (await reader.read()).value,
    leave: () => reader.cancel(),
  };
}

function stream() {
  const clock = new ManualClock();
  return { clock, events: new EventStream(clock, { keep: 1_000 }) };
}

Deno.test("a feed sends events as they happen, with number, type and data", async () => {
  const { clock, events } = stream();
  events.publish("", PORT);
  const reader = read(events, clock);
  assertEquals(await reader.next(), "retry: 2000\n\n");
  const next = reader.next();
  events.publish("", PORT);
  assertEquals(await next, 'id: 2\nevent: port.opened\ndata: {"n":2}\n\n');
  await reader.leave();
  events.publish("", PORT);
  assertEquals([reader.ends(), reader.printed(), clock.pending], [1, 1, 0]);
});

Deno.test("a reader that connects again gets the events it missed, also those before a restart", async () => {
  const { clock, events } = stream();
  for (let i = 0; i < 3; i++) events.publish("", PORT);
  for (const [after, first] of [[1, 2], [99, 1]] as const) {
    const reader = read(events, clock, after);
    assertStringIncludes((await reader.next())!, `retry: 2000\n\nid: ${first}\n`);
    await reader.leave();
  }
});

Deno.test("a reader that is too slow loses the oldest events and is sent their number", async () => {
  const { clock, events } = stream();
  const reader = read(events, clock);
  assertEquals(await reader.next(), "retry: 2000\n\n");
  for (let i = 0; i < FEED_QUEUE_MAX + 50; i++) events.publish("", PORT);
  let text = "";
  while (!text.includes(`"n":${FEED_QUEUE_MAX + 50}`)) text += await reader.next();
  const lost = /event: lost\ndata: \{"count":(\d+)\}/.exec(text);
  assert(lost !== null && Number(lost[1]) >= 49, "one chunk may have been sent already");
  await reader.leave();
});

Deno.test("a feed sends heartbeats while nothing happens", async () => {
  const { clock, events } = stream();
  const reader = read(events, clock);
  await reader.next();
  const next = reader.next();
  await clock.advance(FEED_BEAT_MS);
  assertEquals(await next, ": nothing new\n\n");
  await reader.leave();
});

Deno.test("a feed ends with the process, after the last events", async () => {
  const { clock, events } = stream();
  const reader = read(events, clock);
  await reader.next();
  events.publish("", PORT);
  reader.stop.abort();
  assertStringIncludes((await reader.next())!, "id: 1\n");
  assertEquals(await reader.next(), undefined);
  assertEquals([reader.ends(), clock.pending], [1, 0]);
});
