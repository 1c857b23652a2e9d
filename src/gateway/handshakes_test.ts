import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { TlsSocket } from "../net/deno/unfinished_tls.ts";
import { groupOf, Handshakes, HANDSHAKES_MAX } from "./handshakes.ts";

/** Handshakes whose clients, named like their sockets, begin when a test starts them. */
function bench(connectionsMax: number) {
  const clock = new ManualClock();
  const names = new Map<TlsSocket, string>();
  const ended: string[] = [];
  const begun = new Set<string>();
  let asked = 0;
  const handshakes = new Handshakes(clock, connectionsMax, {
    end: (conn) => void ended.push(names.get(conn)!),
    isSilent(conn) {
      asked++;
      return !begun.has(names.get(conn)!);
    },
  });
  return {
    clock,
    handshakes,
    ended,
    begun,
    asked: () => asked,
    add(name: string, address = "10.0.0.1") {
      const conn = {} as TlsSocket;
      names.set(conn, name);
      return handshakes.add(conn, address);
    },
  };
}

Deno.test("clients that connect at once keep their handshakes while there is room for all", () => {
  const { handshakes, ended, add } = bench(10_000);
  for (let i = 0; i < HANDSHAKES_MAX; i++) {
    assertEquals(handshakes.makeRoom(), true);
    add(`${i}`);
  }
  assertEquals([handshakes.makeRoom(), ended], [false, []]);
});

Deno.test("a handshake that is over is told apart from one that was ended for others before", () => {
  const { handshakes, ended, add } = bench(10);
  const [one, other] = [add("one"), add("other")];
  handshakes.end(other);
  assertEquals([handshakes.delete(one), handshakes.delete(one)], [true, false]);
  assertEquals([handshakes.delete(other), ended, handshakes.size], [false, ["other"], 0]);
});

Deno.test("a handshake that has begun keeps its place for two seconds, a silent one for a quarter of a second", async () => {
  const { handshakes, clock, ended, begun, add } = bench(1);
  begun.add("begun");
  add("begun");
  for (let i = 1; i < 16; i++) add(`silent ${i}`);
  await clock.advance(240);
  assertEquals([handshakes.makeRoom(), ended], [false, []]);
  await clock.advance(10);
  for (let i = 1; i < 16; i++) assertEquals(handshakes.giveWay(), true);
  assertEquals(ended, Array.from({ length: 15 }, (_, i) => `silent ${i + 1}`));
  assertEquals(handshakes.giveWay(), false);
  await clock.advance(1_740);
  assertEquals(handshakes.giveWay(), false);
  await clock.advance(10);
  add("young");
  assertEquals([handshakes.giveWay(), ended.at(-1), handshakes.size], [true, "begun", 1]);
});

Deno.test("slow handshakes are not ended while there is room, however many one address has", async () => {
  const { handshakes, clock, ended, begun, add } = bench(10_000);
  for (let i = 0; i < HANDSHAKES_MAX - 1; i++) {
    begun.add(`${i}`);
    add(`${i}`);
  }
  await clock.advance(1_900);
  assertEquals([handshakes.makeRoom(), ended], [true, []]);
});

Deno.test("the oldest handshake of the address with the most handshakes is ended first", async () => {
  const { handshakes, clock, ended, add } = bench(1);
  for (const name of ["a", "b"]) add(name, "10.0.0.2");
  for (let i = 0; i < 14; i++) add(`${i}`, "10.0.0.3");
  await clock.advance(250);
  for (let i = 0; i < 15; i++) handshakes.giveWay();
  assertEquals(ended, [...Array.from({ length: 12 }, (_, i) => `${i}`), "a", "12", "b"]);
});

Deno.test("a client that has begun is not examined again, and many clients cost little", async () => {
  const { handshakes, clock, begun, asked, add } = bench(10_000);
  begun.add("begun");
  add("begun");
  for (let i = 0; i < 400; i++) add(`${i}`);
  await clock.advance(250);
  handshakes.giveWay();
  const first = asked();
  assertEquals(first < 40, true);
  handshakes.giveWay();
  assertEquals(asked() < 2 * first, true);
});

Deno.test("if few connections are allowed, there are few handshakes, but at least some", () => {
  const { handshakes, add } = bench(1);
  while (handshakes.makeRoom()) add("one");
  assertEquals(handshakes.size, 16);
});

Deno.test("a handshake that is over can neither be removed nor ended again", () => {
  const { handshakes, ended, add } = bench(1);
  const [one, other] = [add("one"), add("other")];
  handshakes.delete(one);
  handshakes.delete(one);
  handshakes.end(one);
  assertEquals([handshakes.size, ended], [1, []]);
  handshakes.end(other);
  handshakes.delete(other);
  assertEquals([handshakes.size, ended], [0, ["other"]]);
  add("last");
  handshakes.endAll();
  assertEquals([handshakes.size, ended], [0, ["other", "last"]]);
});

Deno.test("IPv6 clients are counted by their network, and mapped addresses as IPv4", () => {
  const groups = [
    "::ffff:10.0.0.1",
    "10.0.0.1",
    "2001:db8::1",
    "2001:db8:0:0:9::2",
    "fe80::1%eth0",
    "::1",
  ];
  assertEquals(groups.map(groupOf), [
    "10.0.0.1",
    "10.0.0.1",
    "2001:db8:0:0",
    "2001:db8:0:0",
    "fe80:0:0:0",
    "0:0:0:0",
  ]);
});
