import { assertEquals } from "@std/assert";
import { LocalSemaphore } from "./semaphore.ts";

Deno.test("a place is taken while one is free, and add() takes one beyond the limit", () => {
  const semaphore = new LocalSemaphore(2);
  assertEquals([semaphore.tryAcquire(), semaphore.tryAcquire(), semaphore.tryAcquire()], [
    true,
    true,
    false,
  ]);
  semaphore.acquireAnyway();
  assertEquals(semaphore.acquired, 3);
  semaphore.release();
  semaphore.release();
  assertEquals([semaphore.tryAcquire(), semaphore.acquired], [true, 2]);
});
