import { assertEquals } from "@std/assert";
import { memoryOf } from "../failover/memory.ts";
import { START } from "../failover/testing/states.ts";
import { ProcessMemory } from "./process_memory.ts";

Deno.test("a service that is restarted in the process gets what it stored last", async () => {
  const memory = new ProcessMemory();
  assertEquals(memory.remembered, undefined);
  const last = memoryOf({ ...START, epoch: 2 });
  memory.keep(memoryOf(START));
  memory.keep(last);
  await memory.kept();
  assertEquals(memory.remembered, last);
});
