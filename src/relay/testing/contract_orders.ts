/** The contract of open, hold, refuse and confirm, and of clients that wait. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  BlackHole,
  echoes,
  encode,
  ended,
  hangsUp,
  listens,
  type MakeRelay,
  readText,
  readToEnd,
  says,
  TestUpstream,
  World,
  writeAll,
} from "./world.ts";
import { unusedPort } from "../../base/testing/ports.ts";

export function ordersContract(name: string, make: MakeRelay): void {
  Deno.test(`${name}: the port is closed until the first open`, async () => {
    const port = unusedPort();
    await using primary = new TestUpstream("a", says("a"));
    await using world = await World.start(make, { bind: { kind: "tcp", host: "127.0.0.1", port } });
    await assertRejects(() => Deno.connect({ port }), Deno.errors.ConnectionRefused);

    await world.relay.open(primary.upstream, 1);
    assertEquals(world.all("port.opened"), [
      { type: "port.opened", address: `127.0.0.1:${port}` },
    ]);
    using client = await world.connect();
    assertEquals(await readToEnd(client), "a");
  });

  Deno.test(`${name}: clients that arrive during a hold get the upstream opened next`, async () => {
    await using primary = new TestUpstream("a", says("a"));
    await using backup = new TestUpstream("b", says("b"));
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    await world.relay.hold();
    const clients = await Promise.all(Array.from({ length: 300 }, () => world.connect()));
    await world.counters("300 clients are held", (c) => c.held === 300);
    assertEquals(primary.conns.length, 0);

    await world.relay.open(backup.upstream, 2);
    const answers = await Promise.all(clients.map(readToEnd));
    clients.forEach((client) => client.close());

    assertEquals(new Set(answers), new Set(["b"]));
    await world.counters("all sessions ended", (c) => c.active === 0);
    const { accepted, held, released, lost, longestHoldMs } = world.relay.counters();
    assertEquals({ accepted, held, released, lost }, {
      accepted: 300,
      held: 0,
      released: 300,
      lost: 0,
    });
    assert(longestHoldMs > 0);
    const { counts, sum } = world.relay.holdTimes();
    assertEquals(counts.reduce((all, count) => all + count, 0), 300);
    assert(sum > 0);
  });

  Deno.test(`${name}: clients beyond the hold limit wait in the accept queue and are served`, async () => {
    await using backup = new TestUpstream("b", says("b"));
    await using world = await World.start(make, { heldMax: 5 });
    await world.relay.open(backup.upstream, 1);
    await world.relay.hold();
    const clients = await Promise.all(Array.from({ length: 20 }, () => world.connect()));
    await world.event("limit.reached");
    // One more may have been about to be accepted when the hold began.
    assert(world.relay.counters().accepted <= 6, `${world.relay.counters().accepted} accepted`);

    await world.relay.open(backup.upstream, 2);
    const answers = await Promise.all(clients.map(readToEnd));
    clients.forEach((client) => client.close());
    assertEquals(answers, Array(20).fill("b"));
    assertEquals(world.all("limit.reached").length, 1);
  });

  Deno.test(`${name}: refuse closes the port and turns waiting clients away`, async () => {
    const port = unusedPort();
    await using primary = new TestUpstream("a", says("a"));
    await using world = await World.start(make, { bind: { kind: "tcp", host: "127.0.0.1", port } });
    await world.relay.open(primary.upstream, 1);
    await world.relay.hold();
    using waiting = await world.connect();
    await world.counters("the client is held", (c) => c.held === 1);

    await world.relay.refuse();
    assert(await ended(waiting));
    await assertRejects(() => Deno.connect({ port }), Deno.errors.ConnectionRefused);
    assertEquals(world.all("port.closed").length, 1);
    await world.counters("the client counts as lost", (c) => c.lost === 1 && c.held === 0);
    assertEquals(world.all("session.failed"), []); // turned away, not given up on

    await world.relay.open(primary.upstream, 2);
    using client = await world.connect();
    assertEquals(await readToEnd(client), "a");
  });

  Deno.test(`${name}: it counts the sessions of an upstream in which bytes move`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    using idle = await world.connect();
    for (const each of [client, idle]) {
      await writeAll(each, encode("one"));
      assertEquals(await readText(each, 3), "one");
    }
    // The bytes of one session keep it busy; the other becomes quiet.
    const chat = async () => {
      await writeAll(client, encode("more"));
      await readText(client, 4);
    };
    let busy = 2;
    for (let turn = 0; busy !== 1 && turn < 100_000; turn++) {
      await chat();
      busy = await world.relay.busy("a", 1);
    }
    assertEquals(busy, 1);
    await chat();
    assertEquals(await world.relay.busy("b", 1), 0);
    assertEquals(await world.relay.busy("a", 0), 0);
    for (let turn = 0; busy !== 0 && turn < 5_000; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      busy = await world.relay.busy("a", 1);
    }
    assertEquals(busy, 0);
  });

  Deno.test(`${name}: sessions with bytes live on through hold, refuse and open`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using backup = new TestUpstream("b", says("b"));
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    await writeAll(client, encode("one"));
    assertEquals(await readText(client, 3), "one");

    await world.relay.hold();
    await world.relay.refuse();
    await world.relay.open(backup.upstream, 2);
    await writeAll(client, encode("two"));
    assertEquals(await readText(client, 3), "two");
  });

  Deno.test(`${name}: a session without bytes moves to the upstream opened next`, async () => {
    await using primary = new TestUpstream("a", listens);
    await using backup = new TestUpstream("b", echoes);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    await world.counters("the session is joined", (c) => c.active === 1);

    await world.relay.hold();
    await world.counters("the client is held", (c) => c.held === 1 && c.active === 0);
    await world.relay.open(backup.upstream, 2);
    await writeAll(client, encode("hello"));
    assertEquals(await readText(client, 5), "hello");
    assertEquals(backup.conns.length, 1);
  });

  Deno.test(`${name}: a silent upstream is doubted, and hold cancels the attempt`, async () => {
    using hole = await BlackHole.open();
    await using backup = new TestUpstream("b", says("b"));
    await using world = await World.start(make);
    await world.relay.open(hole.upstream, 1);
    using client = await world.connect();
    const doubt = await world.doubt();
    assertEquals(doubt.upstream, "hole");
    assertEquals(doubt.epoch, 1);
    assertEquals(doubt.hard, false);

    await world.relay.hold();
    await world.counters("the client is held", (c) => c.held === 1);
    await world.relay.open(backup.upstream, 2);
    assertEquals(await readToEnd(client), "b");
    assertEquals(world.doubts.length, 1);
  });

  Deno.test(`${name}: a refused connect is a hard doubt, and the client goes to the next`, async () => {
    await using primary = new TestUpstream("a", says("a"));
    await using backup = new TestUpstream("b", says("b"));
    await using world = await World.start(make);
    await primary.close();
    await world.relay.open(primary.upstream, 7);
    using client = await world.connect();
    const { upstream, epoch, hard } = await world.doubt();
    assertEquals({ upstream, epoch, hard }, { upstream: "a", epoch: 7, hard: true });

    await world.relay.open(backup.upstream, 8);
    assertEquals(await readToEnd(client), "b");
    assertEquals(world.relay.counters().released, 1);
  });

  Deno.test(`${name}: a refused client connects again once the upstream is confirmed`, async () => {
    await using primary = new TestUpstream("a", says("a"));
    await using world = await World.start(make);
    await primary.close();
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    await world.doubt();

    await world.relay.confirm("a"); // answers by now, says the probe, yet it does not
    await world.doubt(2);
    primary.reopen();
    await world.relay.confirm("a");
    assertEquals(await readToEnd(client), "a");
  });

  Deno.test(`${name}: confirming another upstream changes nothing`, async () => {
    await using primary = new TestUpstream("a", hangsUp);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    await world.doubt();
    await world.relay.confirm("b");
    await world.counters("the client still waits", (c) => c.held === 1);
    await world.relay.confirm("a");
    assert(await ended(client));
  });

  Deno.test(`${name}: an early close is passed on once the upstream is confirmed`, async () => {
    await using primary = new TestUpstream("a", hangsUp);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 3);
    using client = await world.connect();
    const { upstream, epoch, hard } = await world.doubt();
    assertEquals({ upstream, epoch, hard }, { upstream: "a", epoch: 3, hard: true });

    await world.relay.confirm("a");
    assertEquals(await readToEnd(client), "");
    assertEquals(world.relay.counters().lost, 0);
  });

  Deno.test(`${name}: a client whose upstream closed early takes its bytes to the next`, async () => {
    await using primary = new TestUpstream("a", hangsUp);
    await using backup = new TestUpstream("b", echoes);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    await world.doubt();
    await writeAll(client, encode("kept, in order"));
    await client.closeWrite();

    await world.relay.hold();
    await world.relay.open(backup.upstream, 2);
    assertEquals(await readToEnd(client), "kept, in order");
    assertEquals(world.relay.counters().lost, 0);
  });

  Deno.test(`${name}: a held client that sent its request and half-closed is served`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    await world.relay.hold();
    using client = await world.connect();
    await writeAll(client, encode("request"));
    await client.closeWrite();
    await world.counters("the client is held", (c) => c.held === 1);

    await world.relay.open(primary.upstream, 2);
    assertEquals(await readToEnd(client), "request");
  });

  Deno.test(`${name}: a held client that leaves is dropped`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    await world.relay.hold();
    const client = await world.connect();
    await world.counters("the client is held", (c) => c.held === 1);
    client.close();
    await world.counters("it was abandoned", (c) => c.abandoned === 1 && c.held === 0);

    await world.relay.open(primary.upstream, 2);
    using later = await world.connect();
    await writeAll(later, encode("x"));
    assertEquals(await readText(later, 1), "x");
    assertEquals(primary.conns.length, 1);
    assertEquals(world.relay.counters().lost, 0);
  });

  Deno.test(`${name}: a client whose waiting time is over is closed and reported`, async () => {
    await using primary = new TestUpstream("a", says("a"));
    await using world = await World.start(make, { holdMs: 50, connectTimeoutMs: 50 });
    await world.relay.open(primary.upstream, 1);
    await world.relay.hold();
    using client = await world.connect();
    assert(await ended(client));
    const failed = await world.event("session.failed");
    assertEquals(failed.reason, "held for too long");
    assert(!("upstream" in failed), "no upstream was tried, so none is named");
    await world.counters("it counts as lost", (c) => c.lost === 1 && c.held === 0);
  });

  Deno.test(`${name}: many lost clients are reported in few events`, async () => {
    await using primary = new TestUpstream("a", says("a"));
    await using world = await World.start(make, { holdMs: 100, connectTimeoutMs: 100 });
    await world.relay.open(primary.upstream, 1);
    await world.relay.hold();
    const clients = await Promise.all(Array.from({ length: 30 }, () => world.connect()));
    assertEquals(await Promise.all(clients.map(ended)), Array(30).fill(true));
    clients.forEach((client) => client.close());
    await world.counters("30 clients are lost", (c) => c.lost === 30);
    assert(world.all("session.failed").length < 15);
  });
}
