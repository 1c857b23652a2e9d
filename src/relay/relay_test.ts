import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { EngineUnavailable, type StartEngine } from "./engine.ts";
import { makePortableRelay } from "./portable/portable.ts";
import { type EngineChoice, startRelay } from "./relay.ts";
import { SETTINGS } from "./testing/world.ts";

function start(choice: EngineChoice, splice: StartEngine = cannot, workers = 1) {
  const events: Event[] = [];
  const context = {
    clock: new ManualClock(),
    publish: (event: Event) => events.push(event),
    doubt: () => {},
  };
  return { relay: startRelay(choice, { ...SETTINGS, workers }, context, splice), events };
}

/** Stands in for the Linux engine. */
const runs: StartEngine = (settings, context) =>
  Object.assign(makePortableRelay(settings, context), { engine: "splice" });
const cannot: StartEngine = () => new EngineUnavailable("needs Linux");

Deno.test("auto takes the splice engine where it runs", async () => {
  const { relay, events } = start("auto", runs);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(relay.engine, "splice");
  assertEquals(events, [
    { type: "relay.chosen", engine: "splice", reason: "it is the fastest on this system" },
  ]);
  await relay[Symbol.asyncDispose]();
});

Deno.test("auto falls back to streams and reports why", async () => {
  const { relay, events } = start("auto", cannot);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(relay.engine, "stream");
  assertEquals(events, [
    { type: "relay.chosen", engine: "stream", reason: "splice cannot run: needs Linux" },
  ]);
  await relay[Symbol.asyncDispose]();
});

Deno.test("stream takes streams although splice would run", async () => {
  const { relay } = start("stream", runs);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(relay.engine, "stream");
  await relay[Symbol.asyncDispose]();
});

Deno.test("streams warn that several workers have no effect on them", async () => {
  const { relay, events } = start("stream", runs, 3);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(events[1], {
    type: "config.warned",
    warning: "the stream engine has one thread: workers 3 has no effect",
  });
  await relay[Symbol.asyncDispose]();
});

Deno.test("splice fails with the reason where it cannot run", () => {
  const { relay, events } = start("splice", cannot);
  assert(relay instanceof EngineUnavailable);
  assertEquals(relay.reason, "needs Linux");
  assertEquals(events, []);
});
