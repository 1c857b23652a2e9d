/** The contract of all engines, and what only an engine on a `ManualClock` can show. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { makePortableRelay } from "./portable.ts";
import { relayContract } from "../testing/contract.ts";
import {
  BlackHole,
  echoes,
  encode,
  ended,
  hangsUp,
  listens,
  readText,
  TestUpstream,
  World,
  writeAll,
} from "../testing/world.ts";

relayContract("stream", makePortableRelay);

Deno.test("a session is idle only when neither side has moved a byte", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", echoes);
  await using world = await World.start(makePortableRelay, { idleTimeoutMs: 60_000 }, clock);
  await world.relay.open(primary.upstream, 1);
  using client = await world.connect();
  for (let minute = 0; minute < 3; minute++) {
    await writeAll(client, encode("x"));
    assertEquals(await readText(client, 1), "x");
    await clock.advance(59_000);
  }
  assertEquals(world.relay.counters().active, 1);
  await clock.advance(2_000);
  assert(await ended(client));
});

Deno.test("a client held after an hour of silence has its whole time to wait", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", listens);
  await using backup = new TestUpstream("b", echoes);
  await using world = await World.start(makePortableRelay, { holdMs: 10_000 }, clock);
  await world.relay.open(primary.upstream, 1);
  using client = await world.connect();
  await world.counters("the session is joined", (c) => c.active === 1);
  await clock.advance(3_600_000);
  await world.relay.hold();
  await world.counters("the client is held", (c) => c.held === 1);
  await clock.advance(9_999);
  assertEquals(world.relay.counters().lost, 0);

  await world.relay.open(backup.upstream, 2);
  await writeAll(client, encode("hello"));
  assertEquals(await readText(client, 5), "hello");
  assertEquals(world.relay.counters().longestHoldMs, 9_999);
});

Deno.test("a client that failed to connect and then is held waits no longer than one that did not", async () => {
  const clock = new ManualClock();
  using hole = await BlackHole.open();
  const settings = { holdMs: 10_000, connectTimeoutMs: 3_000 };
  await using world = await World.start(makePortableRelay, settings, clock);
  await world.relay.open(hole.upstream, 1);
  using client = await world.connect();
  await world.counters("the client is accepted", (c) => c.accepted === 1);
  await clock.advance(3_000);
  await world.doubt(2);
  assertEquals(world.doubts.map((doubt) => [doubt.hard, doubt.reason]), [
    [false, "no answer to connect: 500 ms"],
    [false, "no answer to connect"],
  ]);
  await world.relay.hold();
  await world.counters("the client is held", (c) => c.held === 1);
  await clock.advance(6_999);
  assertEquals(world.relay.counters().lost, 0);
  await clock.advance(1);
  assert(await ended(client));
  assertEquals(
    (await world.event("session.failed")).reason,
    "held for too long: no answer to connect",
  );
});

Deno.test("a client without a hold still has the time of one connect", async () => {
  const clock = new ManualClock();
  using hole = await BlackHole.open();
  const settings = { holdMs: 0, connectTimeoutMs: 3_000 };
  await using world = await World.start(makePortableRelay, settings, clock);
  await world.relay.open(hole.upstream, 1);
  using client = await world.connect();
  await world.counters("the client is accepted", (c) => c.accepted === 1);
  await clock.advance(2_999);
  assertEquals(world.doubts.length, 1);
  assertEquals(world.relay.counters().lost, 0);
  await clock.advance(1);
  assert(await ended(client));
  await world.counters("it counts as lost", (c) => c.lost === 1);
});

Deno.test("an early end is asked about only when the upstream's port has had time to end too", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", hangsUp);
  await using world = await World.start(makePortableRelay, {}, clock);
  await world.relay.open(primary.upstream, 1);
  using client = await world.connect();
  await world.counters("the client waits", (c) => c.held === 1);
  // A probe that passed in this time would say nothing of the upstream that is just dying.
  await world.relay.confirm("a");
  await clock.advance(49);
  assertEquals([world.doubts.length, world.relay.counters().held], [0, 1]);
  await clock.advance(1);
  await world.doubt(1);
  await world.relay.confirm("a");
  assert(await ended(client));
});

Deno.test("a refused client backs off although its upstream is confirmed each time", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", echoes);
  await using world = await World.start(makePortableRelay, {}, clock);
  await primary.close();
  await world.relay.open(primary.upstream, 1);
  using _client = await world.connect();
  for (const [turn, pauseMs] of [50, 100, 200].entries()) {
    await world.doubt(turn + 1);
    await world.relay.confirm("a");
    await clock.advance(0); // lets the client begin its pause
    await clock.advance(pauseMs - 1);
    await world.relay.confirm("a"); // meant for others; this client has its answer
    assertEquals(world.relay.counters().held, 1);
    await clock.advance(1);
  }
  await world.doubt(4);
});

Deno.test("a stop turns away a client that waits for a verdict on its upstream", async () => {
  await using primary = new TestUpstream("a", hangsUp);
  await using world = await World.start(makePortableRelay);
  await world.relay.open(primary.upstream, 1);
  using client = await world.connect();
  await world.doubt();
  assertEquals(await world.relay.stop(60_000, new AbortController().signal), 0);
  assert(await ended(client));
  assertEquals(world.all("session.failed"), []); // turned away, not given up on
});

Deno.test("a stopped relay leaves no timer behind", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", echoes);
  const world = await World.start(makePortableRelay, { idleTimeoutMs: 5_000 }, clock);
  await world.relay.open(primary.upstream, 1);
  using client = await world.connect();
  await writeAll(client, encode("x"));
  await readText(client, 1);
  await world.relay.drain({
    upstream: "a",
    throughEpoch: 1,
    graceMs: 60_000,
    sparedIfMovedMs: undefined,
    revocable: false,
    reason: "test",
  });
  await world.relay[Symbol.asyncDispose]();
  assertEquals(clock.pending, 0);
});
