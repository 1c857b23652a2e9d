import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { EngineUnavailable, type StartEngine } from "./engine.ts";
import { makePortableRelay } from "./portable/portable.ts";
import { type EngineChoice, startRelay } from "./relay.ts";
import { SETTINGS } from "./testing/relay_fixture.ts";

function start(choice: EngineChoice, splice: StartEngine = unavailable, workers = 1) {
  const events: Event[] = [];
  const context = {
    clock: new ManualClock(),
    publish: (event: Event) => events.push(event),
    doubt: () => {},
  };
  return { relay: startRelay(choice, { ...SETTINGS, workers }, context, splice), events };
}

/** Replaces the Linux engine. */
const available: StartEngine = (settings, context) =>
  Object.assign(makePortableRelay(settings, context), { engine: "splice" });
const unavailable: StartEngine = () => new EngineUnavailable("needs Linux");

Deno.test("auto chooses the splice engine where it runs", async () => {
  const { relay, events } = start("auto", available);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(relay.engine, "splice");
  assertEquals(events, [
    { type: "relay.chosen", engine: "splice", reason: "it is the fastest on this system" },
  ]);
  await relay[Symbol.asyncDispose]();
});

Deno.test("auto falls back to streams and reports why", async () => {
  const { relay, events } = start("auto", unavailable);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(relay.engine, "stream");
  assertEquals(events, [
    { type: "relay.chosen", engine: "stream", reason: "splice cannot run: needs Linux" },
  ]);
  await relay[Symbol.asyncDispose]();
});

Deno.test("stream chooses streams although splice would run", async () => {
  const { relay } = start("stream", available);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(relay.engine, "stream");
  await relay[Symbol.asyncDispose]();
});

Deno.test("streams warn that several workers have no effect on them", async () => {
  const { relay, events } = start("stream", available, 3);
  assert(!(relay instanceof EngineUnavailable));
  assertEquals(events[1], {
    type: "config.warned",
    warning: "the stream engine has one thread: workers 3 has no effect",
  });
  await relay[Symbol.asyncDispose]();
});

Deno.test("splice fails with the reason where it cannot run", () => {
  const { relay, events } = start("splice", unavailable);
  assert(relay instanceof EngineUnavailable);
  assertEquals(relay.reason, "needs Linux");
  assertEquals(events, []);
});
