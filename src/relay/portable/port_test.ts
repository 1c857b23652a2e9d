import { assertEquals } from "@std/assert";
import { unusedPort } from "../../base/testing/ports.ts";
import type { Address } from "../../base/address.ts";
import { ManualClock } from "../../base/clock.ts";
import type { Event } from "../../events/events.ts";
import { PortableListener, type PortOwner } from "./port.ts";
import { until } from "../testing/relay_fixture.ts";

const HERE: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };

/** A listener with a list of results for accept, which then waits. */
class FakeListener {
  readonly addr: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  accepts = 0;
  readonly #closed = Promise.withResolvers<never>();

  constructor(readonly script: (Deno.Conn | Error)[]) {
    this.#closed.promise.catch(() => {}); // no accept may be pending when it is closed
  }

  accept(): Promise<Deno.Conn> {
    this.accepts++;
    const next = this.script.shift();
    if (next === undefined) return this.#closed.promise;
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  }

  close(): void {
    this.#closed.reject(new Deno.errors.BadResource("Listener has been closed"));
  }
}

function world(script: (Deno.Conn | Error)[], owner: Partial<PortOwner> = {}) {
  const events: Event[] = [];
  const clock = new ManualClock();
  const listener = new FakeListener(script);
  const taken: Deno.Conn[] = [];
  const port = new PortableListener(
    HERE,
    { hasRoom: () => true, taken: (conn) => taken.push(conn), ...owner },
    { clock, publish: (event) => events.push(event) },
    { listen: () => listener as unknown as Deno.Listener },
  );
  return { events, clock, listener, taken, port };
}

const CLIENT = {} as Deno.Conn;
const gone = () => Object.assign(new Error("not connected"), { code: "ENOTCONN" });
const tooMany = () => Object.assign(new Error("Too many open files"), { code: "EMFILE" });

Deno.test("a port that is out of descriptors pauses, reports that once, and continues", async () => {
  const { events, clock, taken, port } = world([tooMany(), tooMany(), CLIENT]);
  await port.open();
  await clock.advance(10);
  assertEquals(taken, []);
  await clock.advance(20);
  assertEquals(taken, [CLIENT]);
  assertEquals(events.filter((event) => event.type === "accept.failed"), [
    {
      type: "accept.failed",
      address: "127.0.0.1:1",
      reason: "Too many open files",
      retryInMs: 10,
    },
  ]);
  await port.close();
  assertEquals(clock.pending, 0);
});

Deno.test("connections that were reset before they were accepted do not delay those behind them", async () => {
  const { events, clock, taken, port } = world([gone(), gone(), gone(), CLIENT]);
  await port.open();
  await clock.advance(0);
  assertEquals(taken, [CLIENT]);
  assertEquals(events.filter((event) => event.type === "accept.failed"), []);
  await port.close();
});

Deno.test("a port closes while it pauses", async () => {
  const { clock, port, listener } = world([tooMany()]);
  await port.open();
  await clock.advance(0);
  await port.close();
  assertEquals(clock.pending, 0);
  assertEquals(listener.accepts, 1);
});

Deno.test("a port without room accepts no client until there may be room again", async () => {
  let room = false;
  const { clock, port, taken, listener } = world([CLIENT], { hasRoom: () => room });
  await port.open();
  await clock.advance(0);
  assertEquals(listener.accepts, 0);
  room = true;
  port.recheck();
  await clock.advance(0);
  assertEquals(taken, [CLIENT]);
  await port.close();
});

Deno.test("a port that cannot be opened is tried each second until it is closed", async () => {
  const events: Event[] = [];
  const clock = new ManualClock();
  let tries = 0;
  const owner = { hasRoom: () => true, taken: () => {} };
  const port = new PortableListener(
    HERE,
    owner,
    { clock, publish: (event) => events.push(event) },
    {
      listen() {
        tries++;
        throw new Deno.errors.AddrInUse();
      },
    },
  );
  await port.open();
  await clock.advance(2_500);
  assertEquals(tries, 3);
  assertEquals(events[0], {
    type: "port.failed",
    address: "127.0.0.1:0",
    reason: "address in use",
    retryInMs: 1_000,
  });
  await port.close();
  await clock.advance(5_000);
  assertEquals(tries, 3);
  assertEquals(clock.pending, 0);
});

Deno.test("a port on :: falls back to 0.0.0.0 on a system without IPv6", async () => {
  const hosts: string[] = [];
  const listener = new FakeListener([]);
  const context = { clock: new ManualClock(), publish: () => {} };
  const owner = { hasRoom: () => true, taken: () => {} };
  const port = new PortableListener({ kind: "tcp", host: "::", port: 1 }, owner, context, {
    listen(address) {
      if (address.kind === "tcp") hosts.push(address.host);
      if (hosts.length === 1) throw Object.assign(new Error("no IPv6"), { code: "EAFNOSUPPORT" });
      return listener as unknown as Deno.Listener;
    },
  });
  await port.open();
  assertEquals(hosts, ["::", "0.0.0.0"]);
  await port.close();
});

Deno.test("a port opens and closes again and again at the same address", async () => {
  const address: Address = { ...HERE, port: unusedPort() };
  const taken: Deno.Conn[] = [];
  const events: Event[] = [];
  const owner = { hasRoom: () => true, taken: (conn: Deno.Conn) => taken.push(conn) };
  const port = new PortableListener(address, owner, {
    clock: new ManualClock(),
    publish: (event) => events.push(event),
  });
  for (let round = 1; round <= 5; round++) {
    await port.open();
    using _client = await Deno.connect({ hostname: "127.0.0.1", port: address.port });
    await until("the client is taken", () => taken.length === round);
    await port.close();
  }
  taken.forEach((conn) => conn.close());
  assertEquals(events.filter((event) => event.type === "port.failed"), []);
});
