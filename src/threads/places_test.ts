import { assertEquals } from "@std/assert";
import { giveAll, newCells, SharedPlaces } from "./places.ts";

function two(max: number) {
  const cells = newCells(2);
  const woken: number[] = [];
  const wake = (thread: number) => woken.push(thread);
  const places = [0, 1].map((thread) => new SharedPlaces(cells, max, thread, wake));
  return { cells, woken, wake, first: places[0]!, second: places[1]! };
}

Deno.test("threads share the places, and one that finds none is woken when the other gives one back", () => {
  const { first, second, woken } = two(2);
  assertEquals([first.take(), second.take(), second.take()], [true, true, false]);
  assertEquals([first.taken, second.taken, woken], [2, 2, []]);
  first.give();
  assertEquals(woken, [1]);
  assertEquals([second.take(), first.taken], [true, 2]);
});

Deno.test("a thread that finds no place may ask the others for one, and they see that it waits", () => {
  const { first, second, woken } = two(1);
  first.take();
  assertEquals([first.isWanted, second.take(), first.isWanted, second.isWanted], [
    false,
    false,
    true,
    false,
  ]);
  second.ask();
  assertEquals(woken, [0]);
  first.give();
  assertEquals([first.isWanted, woken], [false, [0, 1]]);
});

Deno.test("a thread is woken once for each time that it found no place", () => {
  const { first, second, woken } = two(2);
  first.add();
  first.add();
  assertEquals([second.take(), second.take()], [false, false]);
  first.give();
  first.give();
  assertEquals(woken, [1]);
});

Deno.test("what a dead thread had taken is free again, and its mark is gone", () => {
  const { cells, first, second, woken, wake } = two(3);
  for (let taken = 0; taken < 3; taken++) first.take();
  assertEquals([first.take(), second.take()], [false, false]);
  giveAll(cells, 0, wake);
  assertEquals([second.taken, woken], [0, [1]]);
  second.take();
  second.give();
  assertEquals(woken, [1]);
});
