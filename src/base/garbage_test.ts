import { assertEquals } from "@std/assert";
import { collectAlone, collectGarbage } from "./garbage.ts";

/** Runs a program in a separate process, whose flags affect no other test. */
async function run(program: string): Promise<string> {
  const source = JSON.stringify(import.meta.resolve("./garbage.ts"));
  const args = ["eval", "--no-check", `import * as garbage from ${source};${program}`];
  const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test("an object that nothing refers to any more is freed", async () => {
  const printed = await run(`
    const ref = new WeakRef({});
    // A new WeakRef keeps its object alive until the end of the turn, so another turn begins.
    await new Promise((resolve) => setTimeout(resolve));
    garbage.${collectGarbage.name}();
    console.log(ref.deref() === undefined);`);
  assertEquals(printed, "true\n");
});

Deno.test("a large heap is left to V8", async () => {
  const printed = await run(`
    const { runInNewContext } = await import("node:vm");
    const isExposed = () => runInNewContext("typeof gc") === "function";
    const kept = Array.from({ length: 1_000_000 }, (_, i) => ({ i, j: {} }));
    garbage.${collectGarbage.name}();
    console.log(isExposed(), kept.length);`);
  assertEquals(printed, "false 1000000\n");
});

Deno.test("a thread that collects without helper threads still frees young objects", async () => {
  const printed = await run(`
    garbage.${collectAlone.name}();
    let last;
    for (let i = 0; i < 3_000_000; i++) last = { i, before: undefined };
    console.log(last.i, Deno.memoryUsage().heapTotal < 64 * 1024 * 1024);`);
  assertEquals(printed, "2999999 true\n");
});
