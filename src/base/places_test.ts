import { assertEquals } from "@std/assert";
import { LocalPlaces } from "./places.ts";

Deno.test("a place is taken while one is free, and add() takes one beyond the limit", () => {
  const places = new LocalPlaces(2);
  assertEquals([places.take(), places.take(), places.take()], [true, true, false]);
  places.add();
  assertEquals(places.taken, 3);
  places.give();
  places.give();
  assertEquals([places.take(), places.taken], [true, 2]);
});
