import { assertEquals } from "@std/assert";
import { bytes, PORT, SpliceFixture } from "./testing/splice_fixture.ts";
import { DRAIN } from "../../failover/testing/drain_order.ts";
import { readParcel } from "./parcel.ts";
import { isConcerned } from "./relay_parts.ts";
import type { SpliceSession } from "./session.ts";

Deno.test("an order concerns joined sessions of its upstream, of its decision or an older one", () => {
  const session = { phase: "joined", upstreamName: "a", epoch: 1 } as SpliceSession;
  const concerned = (change: Partial<SpliceSession>) =>
    isConcerned({ ...session, ...change } as SpliceSession, DRAIN);
  assertEquals(concerned({}), true);
  assertEquals(concerned({ epoch: 0 }), true);
  assertEquals(concerned({ epoch: 2 }), false);
  assertEquals(concerned({ upstreamName: "b" }), false);
  assertEquals(concerned({ phase: "passing" }), false);
});

Deno.test("a session that a drain is about to cut is not handed over, and is cut", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client } = fixture.session();
  fixture.open("b", 2);
  const other = fixture.session();
  fixture.execute({ do: "drain", order: { ...DRAIN, graceMs: 1_000 } });
  fixture.execute({ do: "stop", drainMs: 60_000, isLeft: true });
  assertEquals(fixture.offers.length, 1);
  fixture.pass(1_000);
  assertEquals([client.weReset, other.client.weReset], [true, false]);
  fixture.execute({
    do: "message",
    what: { is: "answered", id: fixture.offers[0]!.id, isTaken: true },
  });
  assertEquals([fixture.stopped, fixture.count("active"), fixture.count("cut")], [0, 0, 1]);
});

Deno.test("a session that is under way when all are cut is not touched, and is cut if it is not taken", () => {
  for (const isTaken of [true, false]) {
    const fixture = new SpliceFixture();
    fixture.open("a", 1);
    const { client, upstream } = fixture.session();
    fixture.execute({ do: "stop", drainMs: 60_000, isLeft: true });
    fixture.execute({ do: "cutAll" });
    assertEquals([client.weReset, client.weClosed, fixture.stopped], [false, false, undefined]);
    const { id } = fixture.offers[0]!;
    fixture.execute({ do: "message", what: { is: "answered", id, isTaken } });
    assertEquals([client.weReset, upstream.weReset], [!isTaken, !isTaken]);
    assertEquals(fixture.stopped, isTaken ? 0 : 1);
  }
});

Deno.test("an idle session that is handed back ends when its time without bytes is over, not later", () => {
  const fixture = new SpliceFixture({ idleTimeoutMs: 10_000 });
  fixture.open("a", 1);
  const { client } = fixture.session();
  fixture.pass(6_000);
  fixture.execute({ do: "stop", drainMs: 60_000, isLeft: true });
  const { id } = fixture.offers[0]!;
  fixture.execute({ do: "message", what: { is: "answered", id, isTaken: false } });
  fixture.pass(3_000);
  assertEquals(client.weClosed, false);
  fixture.pass(3_000);
  assertEquals([client.weClosed, fixture.stopped], [true, 0]);
});

Deno.test("clients that wait when another process takes over are accepted, and offered to it", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  // The thread has been told of them, and has not come to it yet.
  const waiting = [fixture.kernel.client(PORT)!, fixture.kernel.client(PORT)!];
  fixture.relay.execute({ do: "stop", drainMs: 60_000, isLeft: true });
  assertEquals([fixture.count("accepted"), fixture.offers.length], [2, 2]);
  for (const { id, parcel } of fixture.offers) {
    assertEquals(parcel.descriptors.length, 1);
    fixture.relay.execute({ do: "message", what: { is: "answered", id, isTaken: true } });
  }
  assertEquals(waiting.map(({ weReset }) => weReset), [false, false]);
  assertEquals(fixture.stopped, 0);
});

Deno.test("a client whose PROXY protocol header comes late is offered with the addresses that it names", () => {
  const fixture = new SpliceFixture({ acceptProxy: "v1" });
  fixture.open("a", 1);
  const [late, silent] = [fixture.client(), fixture.client()];
  fixture.execute({ do: "stop", drainMs: 60_000, isLeft: true });
  assertEquals([fixture.offers.length, fixture.stopped], [0, undefined]);
  late.send(bytes("PROXY TCP4 192.0.2.7 192.0.2.1 5000 5432\r\n"));
  fixture.runTicks();
  const { id, parcel } = fixture.offers[0]!;
  assertEquals(readParcel(parcel)?.addresses, {
    client: { kind: "tcp", host: "192.0.2.7", port: 5000 },
    local: { kind: "tcp", host: "192.0.2.1", port: 5432 },
  });
  fixture.execute({ do: "message", what: { is: "answered", id, isTaken: true } });
  assertEquals(fixture.stopped, undefined);
  silent.close();
  fixture.runTicks();
  assertEquals([fixture.stopped, fixture.count("unannounced")], [0, 1]);
});
