/** The contract of clients that wait: which clients may wait, which have left, and what is reported of a limit. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Address, parseAddress } from "../../base/address.ts";
import { ManualClock, realClock } from "../../base/clock.ts";
import { fillQueue, RawListener, RawSocket } from "../../linux/testing/raw_socket.ts";
import { Resolver } from "../../net/resolve.ts";
import {
  echoes,
  encode,
  ended,
  hangsUp,
  type MakeRelay,
  readText,
  readToEnd,
  says,
  TestUpstream,
  World,
  writeAll,
} from "./world.ts";

export function waitingContract(name: string, make: MakeRelay): void {
  namesContract(name, make);
  fullQueueContract(name, make);

  Deno.test(`${name}: without a hold clients are served while an upstream is open`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using backup = new TestUpstream("b", says("b"));
    await using world = await World.start(make, { heldMax: 0 });
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    await writeAll(client, encode("x"));
    assertEquals(await readText(client, 1), "x");

    await world.relay.hold();
    using early = await world.connect();
    assert(await ended(early));
    assertEquals((await world.event("session.failed")).reason, "too many clients wait already");
    await world.relay.open(backup.upstream, 2);
    using late = await world.connect();
    assertEquals(await readToEnd(late), "b");
    await backup.close();
    using refused = await world.connect();
    assert(await ended(refused));
    assertEquals((await world.doubt()).upstream, "b");
    await world.counters("two are lost, none is held", (c) => c.lost === 2 && c.held === 0);
    assertEquals(world.all("limit.reached"), []);
  });

  Deno.test(`${name}: without a hold an early close is passed on and doubted`, async () => {
    await using primary = new TestUpstream("a", hangsUp);
    await using world = await World.start(make, { heldMax: 0 });
    await world.relay.open(primary.upstream, 1);
    using client = await world.connect();
    assertEquals(await readToEnd(client), "");
    assertEquals((await world.doubt()).hard, true);
  });

  Deno.test({
    name: `${name}: a held client that said something and resets its connection is dropped`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      await using primary = new TestUpstream("a", echoes);
      await using world = await World.start(make);
      await world.relay.open(primary.upstream, 1);
      const { address } = await world.event("port.opened");
      await world.relay.hold();
      using client = RawSocket.connect(parseAddress(address) as Address);
      await client.send(encode("hello"));
      await client.acknowledged();
      await world.counters("the client is held", (c) => c.held === 1);
      client.reset();
      await world.counters("it was abandoned", (c) => c.abandoned === 1 && c.held === 0);
    },
  });

  Deno.test(`${name}: what a held client sent in several parts arrives in order`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using world = await World.start(make);
    await world.relay.open(primary.upstream, 1);
    await world.relay.hold();
    using client = await world.connect();
    await world.counters("the client is held", (c) => c.held === 1);
    const said = Array.from({ length: 40_000 }, (_, at) => at).join(" ");
    const saying = writeAll(client, encode(said)).then(() => client.closeWrite());
    await world.relay.open(primary.upstream, 2);
    const [heard] = await Promise.all([readToEnd(client), saying]);
    assertEquals(heard, said);
  });

  Deno.test(`${name}: a limit at which clients come and go is reported once`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using world = await World.start(make, { connectionsMax: 2 });
    await world.relay.open(primary.upstream, 1);
    for (let round = 0; round < 5; round++) {
      const clients = [await world.connect(), await world.connect(), await world.connect()];
      for (const client of clients) {
        await writeAll(client, encode("x"));
        assertEquals(await readText(client, 1), "x");
        client.close();
      }
      await world.counters("all left", (c) => c.active === 0);
    }
    assertEquals(world.all("limit.reached").length, 1);
  });
}

/** Of an upstream on a unix socket whose accept queue is full. */
function fullQueueContract(name: string, make: MakeRelay): void {
  Deno.test({
    name:
      `${name}: a unix socket with a full queue is doubted softly, and its client is served later`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      const folder = await Deno.makeTempDir();
      const address = { kind: "unix", path: `${folder}/a` } as const;
      using listener = new RawListener(address);
      const queued = fillQueue(address);
      await using world = await World.start(make);
      await world.relay.open({ name: "a", address, rank: 0 }, 1);
      using client = await world.connect();
      await world.counters("the client waits", (c) => c.held === 1);
      const { hard, reason } = await world.doubt();
      assertEquals([hard, reason], [false, "no answer to connect"]);
      for (const one of queued) {
        (await listener.accept()).close();
        one.close();
      }
      await world.relay.confirm("a");
      using upstream = await listener.accept();
      await upstream.send(encode("hello"));
      assertEquals(await readText(client, 5), "hello");
      await Deno.remove(folder, { recursive: true });
    },
  });
}

/** Of the names that nobody answers for. */
function namesContract(name: string, make: MakeRelay): void {
  const address = { kind: "tcp", host: "silent.test", port: 80 } as const;
  const upstream = { name: "a", address, rank: 0 };

  for (const connectTimeoutMs of [100, 700]) {
    const what =
      `a name service that is silent is no doubt, with ${connectTimeoutMs} ms to connect`;
    Deno.test(`${name}: ${what}`, async () => {
      const silent = new Resolver(new ManualClock(), () => new Promise(() => {}));
      const settings = { holdMs: 700, connectTimeoutMs };
      await using world = await World.start(make, settings, realClock, silent);
      await world.relay.open(upstream, 1);
      using client = await world.connect();
      assert(await ended(client));
      const { reason } = await world.event("session.failed");
      assertStringIncludes(reason, "the name service does not answer");
      assertEquals(world.doubts, []);
    });
  }

  Deno.test(`${name}: clients are connected when the name service answers at last`, async () => {
    await using primary = new TestUpstream("a", echoes);
    const { port } = primary.upstream.address as Address & { kind: "tcp" };
    const answer = Promise.withResolvers<string[]>();
    const slow = new Resolver(realClock, () => answer.promise);
    await using world = await World.start(make, { connectTimeoutMs: 50 }, realClock, slow);
    await world.relay.open({ ...upstream, address: { ...address, port } }, 1);
    using first = await world.connect();
    await world.counters("the first is accepted", (c) => c.accepted === 1);
    using second = await world.connect();
    await world.counters("the second does not wait for the first", (c) => c.accepted === 2);
    answer.resolve(["127.0.0.1"]);
    for (const client of [first, second]) {
      await writeAll(client, encode("x"));
      assertEquals(await readText(client, 1), "x");
    }
    assertEquals(world.doubts, []);
  });
}
