/** New connections: when a connect is slow, cancelled, or left by its client, and when one must settle. */
import { assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { poolFixture } from "../http1/testing/pool_fixture.ts";
import type { Conn, Dial } from "../net/conn.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { Connector } from "./connector.ts";
import { requestRules } from "./headers.ts";
import type { ServerUpstream } from "./upstream.ts";

/** A dialer that answers when the test lets it; it can be aborted. */
function connectsOf(pair: MakePair) {
  const dialed = Promise.withResolvers<Conn>();
  let connecting = () => {};
  const dial: Dial = (signal, onConnecting) => {
    connecting = onConnecting!;
    signal!.addEventListener(
      "abort",
      () => dialed.reject(new Fault("connectFailed", "cancelled")),
    );
    return dialed.promise;
  };
  const world = poolFixture(pair, { dial });
  const to: ServerUpstream = {
    kind: "server",
    upstream: { name: "a", rank: 0, address: { kind: "tcp", host: "127.0.0.1", port: 1 } },
    origin: "http://up.test",
    basePath: "",
    pool: world.pool,
    rules: requestRules("up.test", { preserveHost: false, headers: [], pseudonym: "failover" }),
  };
  const connects = new Connector(world.clock);
  const leaving = new AbortController();
  const slow: string[] = [];
  const make = (settles = false) =>
    connects.connect(to, {
      signal: leaving.signal,
      onSlow: (reason) => slow.push(reason),
      settles,
    });
  const [upstream, end] = pair();
  return {
    clock: world.clock,
    connects,
    leaving,
    slow,
    make,
    upstream,
    connecting: () => connecting(),
    answer: () => dialed.resolve(end),
  };
}

onConns(
  "a connect is slow by the time of the connect, not by that of the name service",
  async (pair) => {
    const world = connectsOf(pair);
    const made = world.make();
    await world.clock.advance(5_000);
    assertEquals(world.slow, []);
    world.connecting();
    await world.clock.advance(499);
    assertEquals(world.slow, []);
    await world.clock.advance(2);
    assertEquals(world.slow, ["no answer to connect for 500 ms"]);
    world.answer();
    (await made).close();
    assertEquals(world.clock.pending, 0);
  },
);

onConns(
  "connects are cancelled by the name of their upstream, or when their client leaves",
  async (pair) => {
    const first = connectsOf(pair);
    const made = first.make();
    first.connecting();
    first.connects.cancelPending("b");
    await first.clock.advance(0);
    first.connects.cancelPending("a");
    await assertRejects(() => made, Fault, "cancelled");
    const second = connectsOf(pair);
    const left = second.make();
    second.connecting();
    second.leaving.abort();
    await assertRejects(() => left, Fault, "cancelled");
    assertEquals([first.clock.pending, second.clock.pending], [0, 0]);
  },
);

for (const ends of [false, true]) {
  onConns(
    `a connection that must settle is ${ends ? "refused" : "given"} if it ${
      ends ? "ends" : "stays"
    }`,
    async (pair) => {
      const world = connectsOf(pair);
      const made = world.make(true);
      const outcome = made.then(() => "made", (fault: Fault) => fault.fault);
      world.connecting();
      world.answer();
      await world.clock.advance(10);
      if (ends) await world.upstream.closeWrite();
      await world.clock.advance(10);
      await world.clock.advance(41);
      assertEquals(await outcome, ends ? "closedUnused" : "made");
      if (!ends) (await made).close();
      await world.clock.advance(0);
      assertEquals(world.slow, []);
    },
  );
}
