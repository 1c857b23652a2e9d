import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import type { Address } from "../../base/address.ts";
import { type Clock, ManualClock, realClock } from "../../base/clock.ts";
import { unusedPort } from "../../base/testing/ports.ts";
import { dial } from "./dial.ts";
import { Fault, FAULTS } from "../../base/fault.ts";
import { blackHoleUpstream } from "../../../tests/harness/upstream.ts";
import { Resolver } from "../resolve.ts";
import { untilRefused } from "../testing/refused.ts";

const never = new AbortController().signal;

function listen(): { listener: Deno.Listener & Disposable; address: Address } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: unusedPort() });
  return { listener, address: { kind: "tcp", host: "127.0.0.1", port: listener.addr.port } };
}

async function faultOf(address: Address): Promise<Fault> {
  const fault = await dial(address, { clock: realClock, timeoutMs: 60_000, signal: never });
  assertInstanceOf(fault, Fault);
  return fault;
}

Deno.test("a dial returns a connection and leaves no timer", async () => {
  const { listener, address } = listen();
  using _ = listener;
  const clock = new ManualClock();
  const conn = await dial(address, { clock, timeoutMs: 1_000, signal: never });
  assert(conn !== undefined && !(conn instanceof Fault));
  assertEquals(clock.pending, 0);
  const accepted = await listener.accept();
  await conn.write(new Uint8Array([7]));
  const buffer = new Uint8Array(8);
  assertEquals(await accepted.read(buffer), 1);
  conn.close();
  accepted.close();
});

Deno.test("a dial to a closed port is refused", async () => {
  const { listener, address } = listen();
  listener.close();
  await untilRefused(address.kind === "tcp" ? address.port : 0);
  assertEquals((await faultOf(address)).fault, "connectRefused");
});

Deno.test("a dial to a name that does not resolve fails with that reason", async () => {
  const fault = await faultOf({ kind: "tcp", host: "no-such-name.invalid", port: 80 });
  assertEquals(fault.fault, "nameUnknown");
});

Deno.test("a dial to a socket that is not there, or under a file, is refused", async () => {
  const file = await Deno.makeTempFile();
  assertEquals((await faultOf({ kind: "unix", path: `${file}.none` })).fault, "connectRefused");
  assertEquals((await faultOf({ kind: "unix", path: `${file}/x` })).fault, "connectRefused");
  await Deno.remove(file);
});

Deno.test("a dial into a full accept queue ends at its deadline", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const address: Address = { kind: "tcp", host: "127.0.0.1", port: listener.addr.port };
  const limits = { clock: realClock, timeoutMs: 100, signal: never };
  const queued: Deno.Conn[] = [];
  // The system decides how many fit into the queue.
  for (let tries = 0; tries < 20; tries++) {
    const outcome = await dial(address, limits);
    if (outcome instanceof Fault) {
      assertEquals(outcome.fault, "connectTimeout");
      break;
    }
    queued.push(outcome!);
  }
  assert(queued.length < 20);
  for (const conn of queued) conn.close();
});

Deno.test("a dial that is cancelled returns nothing and leaves no timer", async () => {
  const { listener, address } = listen();
  using _ = listener;
  const clock = new ManualClock();
  const stop = new AbortController();
  const dialling = dial(address, { clock, timeoutMs: 1_000, signal: stop.signal });
  stop.abort();
  assertEquals(await dialling, undefined);
  assertEquals(await dial(address, { clock, timeoutMs: 1_000, signal: stop.signal }), undefined);
  assertEquals(clock.pending, 0);
});

Deno.test("a dial closes a unix connection that is made after the deadline", async () => {
  const path = await Deno.makeTempFile();
  await Deno.remove(path);
  using listener = Deno.listen({ transport: "unix", path });
  const clock = new ManualClock();
  const dialling = dial({ kind: "unix", path }, { clock, timeoutMs: 1_000, signal: never });
  await clock.advance(1_000);
  const fault = await dialling;
  assert(fault instanceof Fault && fault.fault === "connectTimeout");
  using accepted = await listener.accept();
  assertEquals(await accepted.read(new Uint8Array(1)), null);
});

Deno.test("a dial that is cancelled just when the connection is made does not leak it", async () => {
  const { listener, address } = listen();
  using _ = listener;
  const clock = new ManualClock();
  // Both are ready in the same tick of the event loop; about three times in a hundred the connection
  // comes first. The leak sanitizer would report it.
  for (let round = 0; round < 200; round++) {
    const stop = new AbortController();
    const dialling = dial(address, { clock, timeoutMs: 1_000, signal: stop.signal });
    // No wait: the timer and the connection become ready while this turn is kept busy.
    setTimeout(() => stop.abort());
    for (const end = performance.now() + 1; performance.now() < end;);
    const outcome = await dialling;
    if (outcome !== undefined && !(outcome instanceof Fault)) outcome.close();
    (await listener.accept()).close();
  }
});

/** A resolver that finds these addresses, all of this machine, for every name. */
function resolving(clock: Clock, ...ips: string[]): Resolver {
  return new Resolver(clock, () => Promise.resolve(ips));
}

Deno.test("a dial goes on to the next address, and begins with the one that answered from then on", async () => {
  const { listener, address } = listen();
  using _ = listener;
  assert(address.kind === "tcp");
  const resolver = resolving(realClock, "127.0.0.2", "127.0.0.3", "127.0.0.1");
  const limits = { clock: realClock, timeoutMs: 60_000, signal: never, resolver };
  const conn = await dial({ ...address, host: "db" }, limits);
  assert(conn !== undefined && !(conn instanceof Fault));
  assertEquals((conn.remoteAddr as Deno.NetAddr).hostname, "127.0.0.1");
  conn.close();
  assertEquals(await resolver.resolve("db"), ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
});

Deno.test("a dial whose every address refuses is refused", async () => {
  const resolver = resolving(realClock, "127.0.0.1", "127.0.0.2");
  const limits = { clock: realClock, timeoutMs: 60_000, signal: never, resolver };
  const fault = await dial({ kind: "tcp", host: "db", port: 1 }, limits);
  assertInstanceOf(fault, Fault);
  assertEquals(fault.fault, "connectRefused");
});

Deno.test("a dial tries the next address in parallel with one that does not answer", async () => {
  await using hole = await blackHoleUpstream();
  const port = Number(hole.name.split(":")[1]);
  using listener = Deno.listen({ hostname: "127.0.0.5", port });
  const clock = new ManualClock();
  const resolver = resolving(clock, "127.0.0.1", "127.0.0.5");
  const dialling = dial({ kind: "tcp", host: "db", port }, {
    clock,
    timeoutMs: 60_000,
    signal: never,
    resolver,
  });
  for (let round = 0; round < 20; round++) await clock.advance(50);
  const conn = await dialling;
  assert(conn !== undefined && !(conn instanceof Fault));
  assertEquals((conn.remoteAddr as Deno.NetAddr).hostname, "127.0.0.5");
  assertEquals(clock.pending, 0);
  conn.close();
  (await listener.accept()).close();
});

Deno.test("a dial to a name whose name service is silent fails in time, with that reason", async () => {
  const clock = new ManualClock();
  const resolver = new Resolver(clock, () => new Promise(() => {}));
  const dialling = dial({ kind: "tcp", host: "db", port: 1 }, {
    clock,
    timeoutMs: 1_000,
    signal: never,
    resolver,
  });
  await clock.advance(1_000);
  const fault = await dialling;
  assertInstanceOf(fault, Fault);
  assertEquals([fault.fault, FAULTS[fault.fault].side], ["nameSilent", "proxy"]);
});
