/** The contract of open, hold, refuse and confirm, and of clients that wait. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  BlackHole,
  closesAtOnce,
  echoes,
  encode,
  ended,
  type MakeRelay,
  readsOnly,
  readText,
  readToEnd,
  RelayFixture,
  sends,
  TestUpstream,
  until,
  writeAll,
} from "./relay_fixture.ts";
import { unusedPort } from "../../base/testing/ports.ts";
import { untilRefused } from "../../net/testing/refused.ts";

export function ordersContract(name: string, make: MakeRelay): void {
  Deno.test(`${name}: the port is closed until the first open`, async () => {
    const port = unusedPort();
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, {
      bind: { kind: "tcp", host: "127.0.0.1", port },
    });
    await assertRejects(() => Deno.connect({ port }), Deno.errors.ConnectionRefused);

    await fixture.relay.open(primary.upstream, 1);
    assertEquals(fixture.all("port.opened"), [
      { type: "port.opened", address: `127.0.0.1:${port}` },
    ]);
    using client = await fixture.connect();
    assertEquals(await readToEnd(client), "a");
  });

  Deno.test(`${name}: clients that arrive during a hold get the upstream opened next`, async () => {
    await using primary = new TestUpstream("a", sends("a"));
    await using backup = new TestUpstream("b", sends("b"));
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    const clients = await Promise.all(Array.from({ length: 300 }, () => fixture.connect()));
    await fixture.counters("300 clients are held", (c) => c.held === 300);
    assertEquals(primary.conns.length, 0);

    await fixture.relay.open(backup.upstream, 2);
    const answers = await Promise.all(clients.map(readToEnd));
    clients.forEach((client) => client.close());

    assertEquals(new Set(answers), new Set(["b"]));
    await fixture.counters("all sessions ended", (c) => c.active === 0);
    const { accepted, held, released, lost, longestHoldMs } = fixture.relay.counters();
    assertEquals({ accepted, held, released, lost }, {
      accepted: 300,
      held: 0,
      released: 300,
      lost: 0,
    });
    assert(longestHoldMs > 0);
    const { counts, sum } = fixture.relay.holdTimes();
    assertEquals(counts.reduce((all, count) => all + count, 0), 300);
    assert(sum > 0);
  });

  Deno.test(`${name}: clients beyond the hold limit wait in the accept queue and are served`, async () => {
    await using backup = new TestUpstream("b", sends("b"));
    await using fixture = await RelayFixture.start(make, { heldMax: 5 });
    await fixture.relay.open(backup.upstream, 1);
    await fixture.relay.hold();
    const clients = await Promise.all(Array.from({ length: 20 }, () => fixture.connect()));
    await fixture.event("limit.reached");
    // One more may have been about to be accepted when the hold began.
    assert(fixture.relay.counters().accepted <= 6, `${fixture.relay.counters().accepted} accepted`);

    await fixture.relay.open(backup.upstream, 2);
    const answers = await Promise.all(clients.map(readToEnd));
    clients.forEach((client) => client.close());
    assertEquals(answers, Array(20).fill("b"));
    assertEquals(fixture.all("limit.reached").length, 1);
  });

  Deno.test(`${name}: refuse closes the port and turns waiting clients away`, async () => {
    const port = unusedPort();
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, {
      bind: { kind: "tcp", host: "127.0.0.1", port },
    });
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    using waiting = await fixture.connect();
    await fixture.counters("the client is held", (c) => c.held === 1);

    await fixture.relay.refuse();
    assert(await ended(waiting));
    await untilRefused(port);
    assertEquals(fixture.all("port.closed").length, 1);
    await fixture.counters("the client counts as lost", (c) => c.lost === 1 && c.held === 0);
    assertEquals(fixture.all("session.failed"), []); // it was turned away, and did not fail

    await fixture.relay.open(primary.upstream, 2);
    using client = await fixture.connect();
    assertEquals(await readToEnd(client), "a");
  });

  Deno.test(`${name}: the relay counts the sessions of an upstream in which bytes move`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    using idle = await fixture.connect();
    for (const each of [client, idle]) {
      await writeAll(each, encode("one"));
      assertEquals(await readText(each, 3), "one");
    }
    // The bytes of one session keep it busy; the other becomes quiet.
    const exchange = async () => {
      await writeAll(client, encode("more"));
      await readText(client, 4);
    };
    let busy = 2;
    for (let turn = 0; busy !== 1 && turn < 100_000; turn++) {
      await exchange();
      busy = await fixture.relay.busy("a", 1);
    }
    assertEquals(busy, 1);
    await exchange();
    assertEquals(await fixture.relay.busy("b", 1), 0);
    assertEquals(await fixture.relay.busy("a", 0), 0);
    // The client of this scene is silent; when that makes its session idle is only told to who asks.
    for (let turn = 0; busy !== 0 && turn < 5_000; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      busy = await fixture.relay.busy("a", 1);
    }
    assertEquals(busy, 0);
  });

  Deno.test(`${name}: sessions with bytes continue through hold, refuse and open`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using backup = new TestUpstream("b", sends("b"));
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await writeAll(client, encode("one"));
    assertEquals(await readText(client, 3), "one");

    await fixture.relay.hold();
    await fixture.relay.refuse();
    await fixture.relay.open(backup.upstream, 2);
    await writeAll(client, encode("two"));
    assertEquals(await readText(client, 3), "two");
  });

  Deno.test(`${name}: a session without bytes moves to the upstream opened next`, async () => {
    await using primary = new TestUpstream("a", readsOnly);
    await using backup = new TestUpstream("b", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await fixture.counters("the session is joined", (c) => c.active === 1);

    await fixture.relay.hold();
    await fixture.counters("the client is held", (c) => c.held === 1 && c.active === 0);
    await fixture.relay.open(backup.upstream, 2);
    await writeAll(client, encode("hello"));
    assertEquals(await readText(client, 5), "hello");
    assertEquals(backup.conns.length, 1);
  });

  Deno.test(`${name}: a silent upstream is doubted, and a hold cancels the attempt`, async () => {
    using hole = await BlackHole.open();
    await using backup = new TestUpstream("b", sends("b"));
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(hole.upstream, 1);
    using client = await fixture.connect();
    const doubts = () =>
      [...fixture.doubts, ...fixture.slowDoubts].filter(({ upstream }) => upstream === "hole");
    await until("the upstream is doubted", () => doubts().length > 0);
    assertEquals(doubts().map(({ epoch, hard }) => [epoch, hard]), [[1, false]]);

    await fixture.relay.hold();
    await fixture.counters("the client is held", (c) => c.held === 1);
    await fixture.relay.open(backup.upstream, 2);
    assertEquals(await readToEnd(client), "b");
    assertEquals(doubts().length, 1);
  });

  Deno.test(`${name}: a refused connect is a hard doubt, and the client is connected to the next upstream`, async () => {
    await using primary = new TestUpstream("a", sends("a"));
    await using backup = new TestUpstream("b", sends("b"));
    await using fixture = await RelayFixture.start(make);
    await primary.close();
    await fixture.relay.open(primary.upstream, 7);
    using client = await fixture.connect();
    const { upstream, epoch, hard } = await fixture.doubt();
    assertEquals({ upstream, epoch, hard }, { upstream: "a", epoch: 7, hard: true });

    await fixture.relay.open(backup.upstream, 8);
    assertEquals(await readToEnd(client), "b");
    assertEquals(fixture.relay.counters().released, 1);
  });

  Deno.test(`${name}: a refused client connects again once the upstream is confirmed`, async () => {
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make);
    await primary.close();
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await fixture.doubt();

    await fixture.relay.confirm("a"); // a probe has passed, but connects still fail
    await fixture.doubt(2);
    primary.reopen();
    await fixture.relay.confirm("a");
    assertEquals(await readToEnd(client), "a");
  });

  Deno.test(`${name}: confirming another upstream changes nothing`, async () => {
    await using primary = new TestUpstream("a", closesAtOnce);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await fixture.doubt();
    await fixture.relay.confirm("b");
    await fixture.counters("the client still waits", (c) => c.held === 1);
    await fixture.relay.confirm("a");
    assert(await ended(client));
  });

  Deno.test(`${name}: an early close is passed on once the upstream is confirmed`, async () => {
    await using primary = new TestUpstream("a", closesAtOnce);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 3);
    using client = await fixture.connect();
    const { upstream, epoch, hard } = await fixture.doubt();
    assertEquals({ upstream, epoch, hard }, { upstream: "a", epoch: 3, hard: true });

    await fixture.relay.confirm("a");
    assertEquals(await readToEnd(client), "");
    assertEquals(fixture.relay.counters().lost, 0);
  });

  Deno.test(`${name}: the bytes of a client whose upstream closed early go to the next upstream`, async () => {
    await using primary = new TestUpstream("a", closesAtOnce);
    await using backup = new TestUpstream("b", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await fixture.doubt();
    await writeAll(client, encode("kept, in order"));
    await client.closeWrite();

    await fixture.relay.hold();
    await fixture.relay.open(backup.upstream, 2);
    assertEquals(await readToEnd(client), "kept, in order");
    assertEquals(fixture.relay.counters().lost, 0);
  });

  Deno.test(`${name}: a held client that sent its request and half-closed is served`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    using client = await fixture.connect();
    await writeAll(client, encode("request"));
    await client.closeWrite();
    await fixture.counters("the client is held", (c) => c.held === 1);

    await fixture.relay.open(primary.upstream, 2);
    assertEquals(await readToEnd(client), "request");
  });

  Deno.test(`${name}: a held client that leaves is dropped`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    const client = await fixture.connect();
    await fixture.counters("the client is held", (c) => c.held === 1);
    client.close();
    await fixture.counters("it was abandoned", (c) => c.abandoned === 1 && c.held === 0);

    await fixture.relay.open(primary.upstream, 2);
    using later = await fixture.connect();
    await writeAll(later, encode("x"));
    assertEquals(await readText(later, 1), "x");
    assertEquals(primary.conns.length, 1);
    assertEquals(fixture.relay.counters().lost, 0);
  });

  Deno.test(`${name}: a client whose waiting time is over is closed and reported`, async () => {
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, { holdMs: 50, connectTimeoutMs: 50 });
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    using client = await fixture.connect();
    assert(await ended(client));
    const failed = await fixture.event("session.failed");
    assertEquals(failed.reason, "held for too long");
    assert(!("upstream" in failed), "no upstream was tried, so none is named");
    await fixture.counters("it counts as lost", (c) => c.lost === 1 && c.held === 0);
  });

  Deno.test(`${name}: many lost clients are reported in few events`, async () => {
    await using primary = new TestUpstream("a", sends("a"));
    await using fixture = await RelayFixture.start(make, { holdMs: 100, connectTimeoutMs: 100 });
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    const clients = await Promise.all(Array.from({ length: 30 }, () => fixture.connect()));
    assertEquals(await Promise.all(clients.map(ended)), Array(30).fill(true));
    clients.forEach((client) => client.close());
    await fixture.counters("30 clients are lost", (c) => c.lost === 30);
    assert(fixture.all("session.failed").length < 15);
  });
}
