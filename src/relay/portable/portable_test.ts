/** The contract of all engines, and what needs an engine on a `ManualClock`. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { makePortableRelay } from "./portable.ts";
import { relayContract } from "../testing/contract.ts";
import {
  BlackHole,
  closesAtOnce,
  echoes,
  encode,
  ended,
  readsOnly,
  readText,
  RelayFixture,
  TestUpstream,
  writeAll,
} from "../testing/relay_fixture.ts";

relayContract("stream", makePortableRelay);

Deno.test("a session is idle only when neither side has moved a byte", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", echoes);
  await using fixture = await RelayFixture.start(
    makePortableRelay,
    { idleTimeoutMs: 60_000 },
    clock,
  );
  await fixture.relay.open(primary.upstream, 1);
  using client = await fixture.connect();
  for (let minute = 0; minute < 3; minute++) {
    await writeAll(client, encode("x"));
    assertEquals(await readText(client, 1), "x");
    await clock.advance(59_000);
  }
  assertEquals(fixture.relay.counters().active, 1);
  await clock.advance(2_000);
  assert(await ended(client));
});

Deno.test("a client that is held after an hour of silence may wait for the whole hold", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", readsOnly);
  await using backup = new TestUpstream("b", echoes);
  await using fixture = await RelayFixture.start(makePortableRelay, { holdMs: 10_000 }, clock);
  await fixture.relay.open(primary.upstream, 1);
  using client = await fixture.connect();
  await fixture.counters("the session is joined", (c) => c.active === 1);
  await clock.advance(3_600_000);
  await fixture.relay.hold();
  await fixture.counters("the client is held", (c) => c.held === 1);
  await clock.advance(9_999);
  assertEquals(fixture.relay.counters().lost, 0);

  await fixture.relay.open(backup.upstream, 2);
  await writeAll(client, encode("hello"));
  assertEquals(await readText(client, 5), "hello");
  assertEquals(fixture.relay.counters().longestHoldMs, 9_999);
});

Deno.test("a client that failed to connect and then is held waits no longer than one that did not", async () => {
  const clock = new ManualClock();
  using hole = await BlackHole.open();
  const settings = { holdMs: 10_000, connectTimeoutMs: 3_000 };
  await using fixture = await RelayFixture.start(makePortableRelay, settings, clock);
  await fixture.relay.open(hole.upstream, 1);
  using client = await fixture.connect();
  await fixture.counters("the client is accepted", (c) => c.accepted === 1);
  await clock.advance(3_000);
  await fixture.doubt(2);
  assertEquals(fixture.doubts.map((doubt) => [doubt.hard, doubt.reason]), [
    [false, "no answer to connect: 500 ms"],
    [false, "no answer to connect"],
  ]);
  await fixture.relay.hold();
  await fixture.counters("the client is held", (c) => c.held === 1);
  await clock.advance(6_999);
  assertEquals(fixture.relay.counters().lost, 0);
  await clock.advance(1);
  assert(await ended(client));
  assertEquals(
    (await fixture.event("session.failed")).reason,
    "held for too long: no answer to connect",
  );
});

Deno.test("a client without a hold still has the time of one connect", async () => {
  const clock = new ManualClock();
  using hole = await BlackHole.open();
  const settings = { holdMs: 0, connectTimeoutMs: 3_000 };
  await using fixture = await RelayFixture.start(makePortableRelay, settings, clock);
  await fixture.relay.open(hole.upstream, 1);
  using client = await fixture.connect();
  await fixture.counters("the client is accepted", (c) => c.accepted === 1);
  await clock.advance(2_999);
  assertEquals(fixture.doubts.length, 1);
  assertEquals(fixture.relay.counters().lost, 0);
  await clock.advance(1);
  assert(await ended(client));
  await fixture.counters("it counts as lost", (c) => c.lost === 1);
});

Deno.test("an early end is reported as a doubt only after the upstream's port has had time to close too", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", closesAtOnce);
  await using fixture = await RelayFixture.start(makePortableRelay, {}, clock);
  await fixture.relay.open(primary.upstream, 1);
  using client = await fixture.connect();
  await fixture.counters("the client waits", (c) => c.held === 1);
  // A probe that passed in this time would prove nothing about an upstream that is about to end.
  await fixture.relay.confirm("a");
  await clock.advance(49);
  assertEquals([fixture.doubts.length, fixture.relay.counters().held], [0, 1]);
  await clock.advance(1);
  await fixture.doubt(1);
  await fixture.relay.confirm("a");
  assert(await ended(client));
});

Deno.test("a refused client backs off although its upstream is confirmed each time", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", echoes);
  await using fixture = await RelayFixture.start(makePortableRelay, {}, clock);
  await primary.close();
  await fixture.relay.open(primary.upstream, 1);
  using _client = await fixture.connect();
  for (const [round, pauseMs] of [50, 100, 200].entries()) {
    await fixture.doubt(round + 1);
    await fixture.relay.confirm("a");
    await clock.advance(0); // lets the client begin its pause
    await clock.advance(pauseMs - 1);
    await fixture.relay.confirm("a"); // for other clients; this one was confirmed already
    assertEquals(fixture.relay.counters().held, 1);
    await clock.advance(1);
  }
  await fixture.doubt(4);
});

Deno.test("a stop turns away a client that waits for a verdict on its upstream", async () => {
  await using primary = new TestUpstream("a", closesAtOnce);
  await using fixture = await RelayFixture.start(makePortableRelay);
  await fixture.relay.open(primary.upstream, 1);
  using client = await fixture.connect();
  await fixture.doubt();
  assertEquals(await fixture.relay.stop(60_000, new AbortController().signal), 0);
  assert(await ended(client));
  assertEquals(fixture.all("session.failed"), []); // it was turned away, and did not fail
});

Deno.test("a stopped relay leaves no timer behind", async () => {
  const clock = new ManualClock();
  await using primary = new TestUpstream("a", echoes);
  const fixture = await RelayFixture.start(makePortableRelay, { idleTimeoutMs: 5_000 }, clock);
  await fixture.relay.open(primary.upstream, 1);
  using client = await fixture.connect();
  await writeAll(client, encode("x"));
  await readText(client, 1);
  await fixture.relay.drain({
    upstream: "a",
    throughEpoch: 1,
    graceMs: 60_000,
    sparedIfMovedMs: undefined,
    revocable: false,
    reason: "test",
  });
  await fixture.relay[Symbol.asyncDispose]();
  assertEquals(clock.pending, 0);
});
