/** New connections: slow and cancelled connects, clients that leave, and connections that must prove themselves. */
import { assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { poolFixture } from "../http1/testing/pool_fixture.ts";
import type { Conn, Dial } from "../net/conn.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { Connector } from "./connector.ts";
import { requestRules } from "./headers.ts";
import type { ServerUpstream } from "./upstream.ts";

/** A dialer that connects when the test says so, and can be aborted. */
function fixtureOf(pair: MakePair) {
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
  const fixture = poolFixture(pair, { dial });
  const to: ServerUpstream = {
    kind: "server",
    upstream: { name: "a", rank: 0, address: { kind: "tcp", host: "127.0.0.1", port: 1 } },
    origin: "http://up.test",
    basePath: "",
    pool: fixture.pool,
    rules: requestRules("up.test", { preserveHost: false, headers: [], pseudonym: "failover" }),
  };
  const connects = new Connector(fixture.clock);
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
    clock: fixture.clock,
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
  "a connect is slow by its own time, without that of the name service",
  async (pair) => {
    const fixture = fixtureOf(pair);
    const made = fixture.make();
    await fixture.clock.advance(5_000);
    assertEquals(fixture.slow, []);
    fixture.connecting();
    await fixture.clock.advance(499);
    assertEquals(fixture.slow, []);
    await fixture.clock.advance(2);
    assertEquals(fixture.slow, ["no answer to connect for 500 ms"]);
    fixture.answer();
    (await made).close();
    assertEquals(fixture.clock.pending, 0);
  },
);

onConns(
  "connects are cancelled by the name of their upstream, or when their client leaves",
  async (pair) => {
    const first = fixtureOf(pair);
    const made = first.make();
    first.connecting();
    first.connects.cancelPending("b");
    await first.clock.advance(0);
    first.connects.cancelPending("a");
    await assertRejects(() => made, Fault, "cancelled");
    const second = fixtureOf(pair);
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
      const fixture = fixtureOf(pair);
      const made = fixture.make(true);
      const outcome = made.then(() => "made", (fault: Fault) => fault.fault);
      fixture.connecting();
      fixture.answer();
      await fixture.clock.advance(10);
      if (ends) await fixture.upstream.closeWrite();
      await fixture.clock.advance(10);
      await fixture.clock.advance(41);
      assertEquals(await outcome, ends ? "closedUnused" : "made");
      if (!ends) (await made).close();
      await fixture.clock.advance(0);
      assertEquals(fixture.slow, []);
    },
  );
}
