import { assert, assertEquals } from "@std/assert";
import { type Member, Roster } from "./slab.ts";

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

Deno.test("who has left is not kept alive by those who stay", async () => {
  // In a process of its own, whose collector can be called. It is the quick one, for the young: the
  // thorough one would find what a table holds on to, but comes late and costs more (`roster.ts`).
  const program = `
    import { Roster } from ${JSON.stringify(new URL("./slab.ts", import.meta.url))};
    const roster = new Roster();
    const present = [];
    const used = () => Deno.memoryUsage().heapUsed;
    globalThis.gc();
    const before = used();
    let most = before;
    for (let i = 0; i < 200_000; i++) {
      const member = { place: -1, payload: new Array(64).fill(i) };
      roster.add(member);
      present.push(member);
      if (present.length > 100) roster.delete(present.shift());
      if (i % 2_000 > 0) continue;
      globalThis.gc({ type: "minor" });
      most = Math.max(most, used());
    }
    console.log(Math.round((most - before) / 1e6));`;
  const args = ["eval", "--quiet", "--v8-flags=--expose-gc", program];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  const [said, complained] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals(complained, "");
  // Over 100 MB came and went; of a Set or Map, 40 MB would still be there.
  assert(Number(said) < 10, `the heap grew by ${said} MB`);
});
