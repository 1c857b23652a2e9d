import { assert, assertEquals } from "@std/assert";
import { type Member, Slab } from "./slab.ts";

const member = (name: string): Member & { name: string } => ({ place: -1, name });

Deno.test("a slab lists its members, whichever leave and in whatever order", () => {
  const slab = new Slab<ReturnType<typeof member>>();
  const [a, b, c] = [member("a"), member("b"), member("c")];
  const names = () => slab.all().map(({ name }) => name).sort().join("");
  for (const one of [a, b, c]) slab.add(one);
  assertEquals([slab.size, names()], [3, "abc"]);
  assertEquals(slab.delete(a), true);
  assertEquals([slab.size, names()], [2, "bc"]);
  slab.add(a);
  assertEquals(slab.delete(c), true);
  assertEquals(slab.delete(b), true);
  assertEquals([slab.size, names()], [1, "a"]);
  assertEquals(slab.delete(a), true);
  assertEquals(slab.size, 0);
});

Deno.test("deleting a member twice, or one that was never added, changes nothing", () => {
  const slab = new Slab<Member>();
  const [a, b] = [member("a"), member("b")];
  slab.add(a);
  assertEquals(slab.delete(b), false);
  slab.add(b);
  assertEquals([slab.delete(a), slab.delete(a)], [true, false]);
  assertEquals(slab.all(), [b]);
});

Deno.test("a deleted member can be garbage-collected while others stay", async () => {
  // In a separate process, where the garbage collector can be called. Minor collections must be enough:
  // a major one would free what a table still refers to, but it comes late and costs more (`slab.ts`).
  const program = `
    import { Slab } from ${JSON.stringify(new URL("./slab.ts", import.meta.url))};
    const slab = new Slab();
    const present = [];
    const used = () => Deno.memoryUsage().heapUsed;
    globalThis.gc();
    const before = used();
    let most = before;
    for (let i = 0; i < 200_000; i++) {
      const member = { place: -1, payload: new Array(64).fill(i) };
      slab.add(member);
      present.push(member);
      if (present.length > 100) slab.delete(present.shift());
      if (i % 2_000 > 0) continue;
      globalThis.gc({ type: "minor" });
      most = Math.max(most, used());
    }
    console.log(Math.round((most - before) / 1e6));`;
  const args = ["eval", "--quiet", "--v8-flags=--expose-gc", program];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  const [grownMb, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals(errors, "");
  // Members of over 100 MB were added and deleted; with a Set or Map, 40 MB would still be in use.
  assert(Number(grownMb) < 10, `the heap grew by ${grownMb} MB`);
});
