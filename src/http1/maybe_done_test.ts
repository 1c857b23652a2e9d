import { assertEquals, assertRejects } from "@std/assert";
import { whenDone } from "./maybe_done.ts";

Deno.test("what follows finished work is done at once", () => {
  const calls: string[] = [];
  assertEquals(whenDone(undefined, (on) => calls.push(on), "next"), undefined);
  assertEquals(calls, ["next"]);
});

Deno.test("what follows unfinished work waits for it", async () => {
  const calls: string[] = [];
  const work = Promise.withResolvers<void>();
  const all = whenDone(work.promise, (on) => calls.push(on), "next");
  await Promise.resolve();
  assertEquals(calls, []);
  work.resolve();
  await all;
  assertEquals(calls, ["next"]);
});

Deno.test("what follows work that fails is not done", async () => {
  const calls: string[] = [];
  const work = Promise.reject(new Error("failed"));
  await assertRejects(async () => await whenDone(work, (on) => calls.push(on), "next"), Error);
  assertEquals(calls, []);
});
