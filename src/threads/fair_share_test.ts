import { assertEquals } from "@std/assert";
import { FairShare, YIELD_MS } from "./fair_share.ts";
import { newSemaphoreCells, SharedSemaphore } from "./shared_semaphore.ts";

Deno.test("a thread that is ahead leaves a client to the others, and takes it if they do not", () => {
  const cells = newSemaphoreCells(2);
  const woken: number[] = [];
  const semaphore = (thread: number) =>
    new SharedSemaphore(cells, 100, thread, (other) => woken.push(other));
  const [first, second] = [semaphore(0), semaphore(1)];
  const share = new FairShare(first);
  let now = 0;
  for (let client = 0; client < 3; client++) {
    assertEquals(share.yields(now), false);
    first.tryAcquire();
  }
  assertEquals([share.yields(now), share.yields(now += 1), woken], [true, true, [1]]);
  assertEquals(share.yields(now += YIELD_MS), false);
  first.tryAcquire();
  assertEquals(share.yields(now), true);
  for (let client = 0; client < 3; client++) second.tryAcquire();
  assertEquals(share.yields(now), false);
});

Deno.test("a single thread is never ahead", () => {
  const semaphore = new SharedSemaphore(newSemaphoreCells(1), 100, 0, () => {});
  const share = new FairShare(semaphore);
  for (let client = 0; client < 50; client++) {
    assertEquals(share.yields(0), false);
    semaphore.tryAcquire();
  }
});
