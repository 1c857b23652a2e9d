/** The contract of clients that wait: which clients may wait, which have left, and what is reported of a limit. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Address, parseAddress } from "../../base/address.ts";
import { ManualClock, realClock } from "../../base/clock.ts";
import { fillQueue, RawListener, RawSocket } from "../../linux/testing/raw_socket.ts";
import { Resolver } from "../../net/resolve.ts";
import {
  closesAtOnce,
  echoes,
  encode,
  ended,
  type MakeRelay,
  readText,
  readToEnd,
  RelayFixture,
  sends,
  TestUpstream,
  writeAll,
} from "./relay_fixture.ts";

/** A limit is reported once in this time, in milliseconds. */
const LIMIT_PAUSE_MS = 10_000;

export function waitingContract(name: string, make: MakeRelay): void {
  namesContract(name, make);
  fullQueueContract(name, make);

  Deno.test(`${name}: without a hold clients are served while an upstream is open`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using backup = new TestUpstream("b", sends("b"));
    await using fixture = await RelayFixture.start(make, { heldMax: 0 });
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await writeAll(client, encode("x"));
    assertEquals(await readText(client, 1), "x");

    await fixture.relay.hold();
    using early = await fixture.connect();
    assert(await ended(early));
    assertEquals((await fixture.event("session.failed")).reason, "too many clients wait already");
    await fixture.relay.open(backup.upstream, 2);
    using late = await fixture.connect();
    assertEquals(await readToEnd(late), "b");
    await backup.close();
    using refused = await fixture.connect();
    assert(await ended(refused));
    assertEquals((await fixture.doubt()).upstream, "b");
    await fixture.counters("two are lost, none is held", (c) => c.lost === 2 && c.held === 0);
    assertEquals(fixture.all("limit.reached"), []);
  });

  Deno.test(`${name}: without a hold an early close is passed on and doubted`, async () => {
    await using primary = new TestUpstream("a", closesAtOnce);
    await using fixture = await RelayFixture.start(make, { heldMax: 0 });
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    assertEquals(await readToEnd(client), "");
    assertEquals((await fixture.doubt()).hard, true);
  });

  Deno.test({
    name: `${name}: a held client that has sent something and resets its connection is dropped`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      await using primary = new TestUpstream("a", echoes);
      await using fixture = await RelayFixture.start(make);
      await fixture.relay.open(primary.upstream, 1);
      const { address } = await fixture.event("port.opened");
      await fixture.relay.hold();
      using client = RawSocket.connect(parseAddress(address) as Address);
      await client.send(encode("hello"));
      await client.acknowledged();
      await fixture.counters("the client is held", (c) => c.held === 1);
      client.reset();
      await fixture.counters("it was abandoned", (c) => c.abandoned === 1 && c.held === 0);
    },
  });

  Deno.test(`${name}: the bytes that a held client sends in several parts arrive in order`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    using client = await fixture.connect();
    await fixture.counters("the client is held", (c) => c.held === 1);
    const sent = Array.from({ length: 40_000 }, (_, at) => at).join(" ");
    const sending = writeAll(client, encode(sent)).then(() => client.closeWrite());
    await fixture.relay.open(primary.upstream, 2);
    const [received] = await Promise.all([readToEnd(client), sending]);
    assertEquals(received, sent);
  });

  Deno.test(`${name}: a limit at which clients come and go is reported once`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make, { connectionsMax: 2 });
    await fixture.relay.open(primary.upstream, 1);
    const startedAt = realClock.now();
    for (let round = 0; round < 5; round++) {
      const clients = [await fixture.connect(), await fixture.connect(), await fixture.connect()];
      for (const client of clients) {
        await writeAll(client, encode("x"));
        assertEquals(await readText(client, 1), "x");
        client.close();
      }
      await fixture.counters("all left", (c) => c.active === 0);
    }
    // Counters are in shared memory, and an event comes as a message.
    await fixture.event("limit.reached");
    const most = 1 + Math.floor((realClock.now() - startedAt) / LIMIT_PAUSE_MS);
    assert(fixture.all("limit.reached").length <= most);
  });
}

/** The contract of an upstream on a unix socket whose accept queue is full. */
function fullQueueContract(name: string, make: MakeRelay): void {
  Deno.test({
    name:
      `${name}: a unix socket with a full queue gets a soft doubt, and its client is served later`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      const folder = await Deno.makeTempDir();
      const address = { kind: "unix", path: `${folder}/a` } as const;
      using listener = new RawListener(address);
      const queued = fillQueue(address);
      await using fixture = await RelayFixture.start(make);
      await fixture.relay.open({ name: "a", address, rank: 0 }, 1);
      using client = await fixture.connect();
      await fixture.counters("the client waits", (c) => c.held === 1);
      const { hard, reason } = await fixture.doubt();
      assertEquals([hard, reason], [false, "no answer to connect"]);
      for (const one of queued) {
        (await listener.accept()).close();
        one.close();
      }
      await fixture.relay.confirm("a");
      using upstream = await listener.accept();
      await upstream.send(encode("hello"));
      assertEquals(await readText(client, 5), "hello");
      await Deno.remove(folder, { recursive: true });
    },
  });
}

/** The contract of names that the name service does not answer. */
function namesContract(name: string, make: MakeRelay): void {
  const address = { kind: "tcp", host: "silent.test", port: 80 } as const;
  const upstream = { name: "a", address, rank: 0 };

  for (const connectTimeoutMs of [100, 700]) {
    const what = `a silent name service causes no doubt, with ${connectTimeoutMs} ms to connect`;
    Deno.test(`${name}: ${what}`, async () => {
      const silent = new Resolver(new ManualClock(), () => new Promise(() => {}));
      const settings = { holdMs: 700, connectTimeoutMs };
      await using fixture = await RelayFixture.start(make, settings, realClock, silent);
      await fixture.relay.open(upstream, 1);
      using client = await fixture.connect();
      assert(await ended(client));
      const { reason } = await fixture.event("session.failed");
      assertStringIncludes(reason, "the name service does not answer");
      assertEquals([fixture.doubts, fixture.slowDoubts], [[], []]);
    });
  }

  Deno.test(`${name}: clients are connected when the name service answers at last`, async () => {
    await using primary = new TestUpstream("a", echoes);
    const { port } = primary.upstream.address as Address & { kind: "tcp" };
    const answer = Promise.withResolvers<string[]>();
    const slow = new Resolver(realClock, () => answer.promise);
    await using fixture = await RelayFixture.start(make, {}, realClock, slow);
    await fixture.relay.open({ ...upstream, address: { ...address, port } }, 1);
    using first = await fixture.connect();
    await fixture.counters("the first is accepted", (c) => c.accepted === 1);
    using second = await fixture.connect();
    await fixture.counters("the second does not wait for the first", (c) => c.accepted === 2);
    answer.resolve(["127.0.0.1"]);
    for (const client of [first, second]) {
      await writeAll(client, encode("x"));
      assertEquals(await readText(client, 1), "x");
    }
    assertEquals(fixture.doubts, []);
  });
}
