import { assertEquals } from "@std/assert";
import { type Member, Roster } from "./roster.ts";

const member = (name: string): Member & { name: string } => ({ place: -1, name });

Deno.test("a roster knows who is in, whoever leaves in whatever order", () => {
  const roster = new Roster<ReturnType<typeof member>>();
  const [a, b, c] = [member("a"), member("b"), member("c")];
  const names = () => roster.all().map(({ name }) => name).sort().join("");
  for (const one of [a, b, c]) roster.add(one);
  assertEquals([roster.size, names()], [3, "abc"]);
  assertEquals(roster.delete(a), true);
  assertEquals([roster.size, names()], [2, "bc"]);
  roster.add(a);
  assertEquals(roster.delete(c), true);
  assertEquals(roster.delete(b), true);
  assertEquals([roster.size, names()], [1, "a"]);
  assertEquals(roster.delete(a), true);
  assertEquals(roster.size, 0);
});

Deno.test("to leave twice, or without having been in, changes nothing", () => {
  const roster = new Roster<Member>();
  const [a, b] = [member("a"), member("b")];
  roster.add(a);
  assertEquals(roster.delete(b), false);
  roster.add(b);
  assertEquals([roster.delete(a), roster.delete(a)], [true, false]);
  assertEquals(roster.all(), [b]);
});
