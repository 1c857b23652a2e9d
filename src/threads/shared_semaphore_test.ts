import { assertEquals } from "@std/assert";
import { newSemaphoreCells, releaseAll, SharedSemaphore } from "./shared_semaphore.ts";

function two(max: number) {
  const cells = newSemaphoreCells(2);
  const woken: number[] = [];
  const wake = (thread: number) => woken.push(thread);
  const shared = [0, 1].map((thread) => new SharedSemaphore(cells, max, thread, wake));
  return { cells, woken, wake, first: shared[0]!, second: shared[1]! };
}

Deno.test("threads share the permits, and one that finds none is woken when the other releases one", () => {
  const { first, second, woken } = two(2);
  assertEquals([first.tryAcquire(), second.tryAcquire(), second.tryAcquire()], [true, true, false]);
  assertEquals([first.acquired, second.acquired, woken], [2, 2, []]);
  first.release();
  assertEquals(woken, [1]);
  assertEquals([second.tryAcquire(), first.acquired], [true, 2]);
});

Deno.test("a thread that finds no permit may ask the others for one, and they see that one is wanted", () => {
  const { first, second, woken } = two(1);
  first.tryAcquire();
  assertEquals([first.isWanted, second.tryAcquire(), first.isWanted, second.isWanted], [
    false,
    false,
    true,
    false,
  ]);
  second.askForRelease();
  assertEquals(woken, [0]);
  first.release();
  assertEquals([first.isWanted, woken], [false, [0, 1]]);
});

Deno.test("a thread is woken once for each time that it found no permit", () => {
  const { first, second, woken } = two(2);
  first.acquireAnyway();
  first.acquireAnyway();
  assertEquals([second.tryAcquire(), second.tryAcquire()], [false, false]);
  first.release();
  first.release();
  assertEquals(woken, [1]);
});

Deno.test("the permits of a dead thread are free again, and its mark is gone", () => {
  const { cells, first, second, woken, wake } = two(3);
  for (let taken = 0; taken < 3; taken++) first.tryAcquire();
  assertEquals([first.tryAcquire(), second.tryAcquire()], [false, false]);
  releaseAll(cells, 0, wake);
  assertEquals([second.acquired, woken], [0, [1]]);
  second.tryAcquire();
  second.release();
  assertEquals(woken, [1]);
});
