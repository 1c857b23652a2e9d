/**
 * A program for `shortage_test.ts`, in a network namespace that has few ports for outgoing
 * connections: `few_ports.ts ENGINE`. Ends with an error if a check fails.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { makePortableRelay } from "../../src/relay/portable/portable.ts";
import { spliceRelay } from "../../src/relay/splice/testing/alone.ts";
import {
  echoes,
  encode,
  type MakeRelay,
  readText,
  RelayFixture,
  TestUpstream,
  writeAll,
} from "../../src/relay/testing/relay_fixture.ts";

const RANGE = "/proc/sys/net/ipv4/ip_local_port_range";
const FIRST_PORT = 40_000;

const make: MakeRelay = (settings, context) => {
  const isStream = Deno.args[0] === "stream";
  return (isStream ? makePortableRelay : spliceRelay)(settings, context);
};

/** Limits the ports for outgoing connections to `count` from now on; each can be used once for each peer. */
function limitPorts(count: number): void {
  Deno.writeTextFileSync(RANGE, `${FIRST_PORT} ${FIRST_PORT + count - 1}`);
}

/** A client of the relay with a separate source address, so that there is a local port for it. */
async function connect(fixture: RelayFixture, number: number): Promise<Deno.Conn> {
  const { address } = await fixture.event("port.opened");
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  return await Deno.connect({ hostname: `127.0.0.${number + 1}`, port });
}

async function answered(conn: Deno.Conn): Promise<void> {
  await writeAll(conn, encode("x"));
  assertEquals(await readText(conn, 1), "x");
}

/** Ports run out: clients wait for one, and nobody is doubted. */
async function noPorts(): Promise<void> {
  await using primary = new TestUpstream("a", echoes);
  const bind = { kind: "tcp", host: "0.0.0.0", port: 0 } as const;
  await using fixture = await RelayFixture.start(make, { bind, holdMs: 60_000 });
  await fixture.relay.open(primary.upstream, 1);
  limitPorts(2); // Linux leaves the last of an odd number unused
  const served = [await connect(fixture, 1), await connect(fixture, 2)];
  for (const conn of served) await answered(conn);
  const waiting = await connect(fixture, 3);
  await fixture.counters("one waits", (c) => c.held === 1);
  const { reason } = await fixture.event("accept.failed");
  assertStringIncludes(reason, "no local port is left for connections to upstreams");
  for (const conn of served) conn.close();
  await answered(waiting);
  waiting.close();
  assertEquals(fixture.doubts, []);
  assertEquals(fixture.relay.counters().lost, 0);
}

/** The only free port is the closed one that is dialled: the socket gets it, and connects to itself. */
async function onlyItself(): Promise<void> {
  const address = { kind: "tcp", host: "127.0.0.1", port: FIRST_PORT } as const;
  await using fixture = await RelayFixture.start(make, { holdMs: 60_000 });
  await fixture.relay.open({ name: "a", address, rank: 0 }, 1);
  const { address: at } = await fixture.event("port.opened");
  limitPorts(1);
  using _client = await Deno.connect({ hostname: "127.0.0.1", port: Number(at.split(":")[1]) });
  assertEquals((await fixture.doubt()).hard, true);
  assertEquals(fixture.relay.counters().active, 0);
}

new Deno.Command("ip", { args: ["link", "set", "lo", "up"] }).outputSync();
await onlyItself();
limitPorts(20_000);
await noPorts();
