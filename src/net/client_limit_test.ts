import { assertEquals, assertNotEquals } from "@std/assert";
import { ClientLimit, newClientTables } from "./client_limit.ts";

function limits(max: number, threads = 1) {
  const tables = newClientTables(max, 1_000, threads);
  const said: [string, number, number][] = [];
  const clock = { now: 0 };
  const made = Array.from(
    { length: threads },
    (_, thread) => new ClientLimit(tables, thread, () => clock.now, (...what) => said.push(what)),
  );
  return { tables, said, clock, made, limit: made[0]! };
}

Deno.test("a client has as many connections as the limit allows, and a further one when one has ended", () => {
  const { limit } = limits(2);
  const [one, two] = [limit.enter("192.0.2.1"), limit.enter("192.0.2.1")];
  assertEquals(limit.enter("192.0.2.1"), undefined);
  assertNotEquals(limit.enter("192.0.2.2"), undefined);
  limit.leave(one!);
  assertNotEquals(limit.enter("192.0.2.1"), undefined);
  assertEquals(limit.enter("192.0.2.1"), undefined);
  limit.leave(two!);
  assertEquals(limit.refused, 2);
});

Deno.test("an address of IPv4 counts with its mapped form, one of IPv6 with its /64", () => {
  const { limit } = limits(1);
  limit.enter("192.0.2.1");
  assertEquals(limit.enter("::ffff:192.0.2.1"), undefined);
  limit.enter("2001:db8::1");
  assertEquals(limit.enter("2001:db8::ffff:1"), undefined);
  assertNotEquals(limit.enter("2001:db8:0:1::1"), undefined);
  limit.enter("fe80::1%eth0");
  assertEquals(limit.enter("fe80::1"), undefined);
});

Deno.test("clients without an address are not limited", () => {
  const { limit } = limits(1);
  for (let i = 0; i < 5; i++) limit.leave(limit.enter("unix")!);
  assertEquals(limit.refused, 0);
});

Deno.test("the connections of a client in other threads count until the thread has ended", () => {
  const { tables, made } = limits(2, 3);
  made[0]!.enter("192.0.2.1");
  const second = made[2]!.enter("192.0.2.1")!;
  assertEquals(made[1]!.enter("192.0.2.1"), undefined);
  made[2]!.leave(second);
  assertNotEquals(made[1]!.enter("192.0.2.1"), undefined);
  assertEquals(made[2]!.enter("192.0.2.1"), undefined);
  new ClientLimit(tables, 1, () => 0, () => {});
  assertNotEquals(made[2]!.enter("192.0.2.1"), undefined);
});

Deno.test("refusals are reported at most once in ten seconds, with their number", () => {
  const { limit, said, clock } = limits(1);
  limit.enter("192.0.2.1");
  for (let i = 0; i < 5; i++) limit.enter("192.0.2.1");
  assertEquals(said, [["192.0.2.1", 1, 1]]);
  clock.now = 10_000;
  limit.enter("192.0.2.1");
  assertEquals(said[1], ["192.0.2.1", 1, 5]);
});

Deno.test("after thousands of clients have come and gone, the table has no more entries than there are clients", () => {
  const { tables, limit } = limits(3);
  const there: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    there.push(limit.enter(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)!);
    if (there.length > 900) limit.leave(there.splice(i % 900, 1)[0]!);
  }
  assertEquals(limit.refused, 0);
  assertEquals(tables.places.filter((place) => place !== 0).length, there.length);
  for (const place of there) limit.leave(place);
  assertEquals(tables.places.some((place) => place !== 0), false);
});
