import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { groupOf, Handshakes, HANDSHAKES_EACH_MAX, HANDSHAKES_MAX } from "./handshakes.ts";

Deno.test("the oldest handshake of an address gives way to its newest, and to nobody else's", async () => {
  const clock = new ManualClock();
  const handshakes = new Handshakes(clock, 10_000);
  const closed: string[] = [];
  const add = (address: string, name: string) => handshakes.add(address, () => closed.push(name));
  add("10.0.0.2", "other");
  for (let i = 0; i < HANDSHAKES_EACH_MAX; i++) add("10.0.0.1", `${i}`);
  await clock.advance(250);
  for (let i = 0; i < 2; i++) add("10.0.0.1", "new");
  assertEquals(closed, ["0", "1"]);
  assertEquals(handshakes.size, HANDSHAKES_EACH_MAX + 1);
});

Deno.test("a crowd that comes at once keeps its handshakes, as long as there is room for all", () => {
  const handshakes = new Handshakes(new ManualClock(), 10_000);
  let closed = 0;
  for (let i = 0; i < HANDSHAKES_MAX; i++) {
    assertEquals(handshakes.makeRoom(), true);
    handshakes.add("10.0.0.1", () => closed++);
  }
  assertEquals([handshakes.makeRoom(), closed], [false, 0]);
});

Deno.test("there is a limit for all addresses together", async () => {
  const clock = new ManualClock();
  const handshakes = new Handshakes(clock, 10_000);
  const closed: number[] = [];
  const add = (i: number) => handshakes.add(`10.0.${i >> 8}.${i & 255}`, () => closed.push(i));
  for (let i = 0; i < HANDSHAKES_MAX; i++) add(i);
  assertEquals(handshakes.makeRoom(), false);
  await clock.advance(250);
  assertEquals([handshakes.makeRoom(), handshakes.giveWay()], [true, true]);
  assertEquals([closed, handshakes.size], [[0, 1], HANDSHAKES_MAX - 2]);
});

Deno.test("where few connections are allowed there are few handshakes, but some", () => {
  const handshakes = new Handshakes(new ManualClock(), 1);
  while (handshakes.makeRoom()) handshakes.add("10.0.0.1", () => {});
  assertEquals(handshakes.size, 16);
});

Deno.test("one that is slow gives way where there is no room, one that is young does not", async () => {
  const clock = new ManualClock();
  const handshakes = new Handshakes(clock, 10_000);
  assertEquals(handshakes.giveWay(), false);
  let closed = 0;
  handshakes.add("10.0.0.1", () => closed++);
  assertEquals(handshakes.giveWay(), false);
  await clock.advance(250);
  const young = handshakes.add("10.0.0.1", () => closed++);
  assertEquals([handshakes.giveWay(), handshakes.giveWay(), closed], [true, false, 1]);
  handshakes.delete(young);
  handshakes.delete(young);
  assertEquals(handshakes.size, 0);
});

Deno.test("of IPv6 the network counts, and a mapped address is that of IPv4", () => {
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
