import { assertEquals } from "@std/assert";
import { LocalSemaphore } from "./semaphore.ts";

Deno.test("a permit is acquired while one is free, and one beyond the limit can be forced", () => {
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
