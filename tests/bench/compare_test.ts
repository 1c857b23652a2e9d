import { assertEquals } from "@std/assert";
import { perUnit, pins } from "./compare.ts";

Deno.test("[bench] the time of a thread counts from the first reading, or from its start; idle ones are left out", () => {
  const thread = (id: string, user: number, system: number) => ({ id, name: id, user, system });
  const before = [thread("main", 10, 5), thread("idle", 1, 1), thread("gone", 3, 3)];
  const after = [thread("main", 11, 5), thread("idle", 1, 1), thread("worker", 2, 6)];
  assertEquals(perUnit(before, after, 4), [thread("worker", 0.5, 1.5), thread("main", 0.25, 0)]);
});

Deno.test("[bench] without pins nothing is put before a command", () => {
  assertEquals(pins(false), { proxy: [], load: [] });
  assertEquals(pins(true).proxy, ["taskset", "-c", "0"]);
});
