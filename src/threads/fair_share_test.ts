import { assertEquals } from "@std/assert";
import { FairShare, YIELD_MS } from "./fair_share.ts";
import { newCells, SharedPlaces } from "./places.ts";

Deno.test("a thread that is ahead leaves a client to the others, and takes it if they do not", () => {
  const cells = newCells(2);
  const woken: number[] = [];
  const places = (thread: number) =>
    new SharedPlaces(cells, 100, thread, (other) => woken.push(other));
  const [first, second] = [places(0), places(1)];
  const share = new FairShare(first);
  let now = 0;
  for (let client = 0; client < 3; client++) {
    assertEquals(share.yields(now), false);
    first.take();
  }
  assertEquals([share.yields(now), share.yields(now += 1), woken], [true, true, [1]]);
  assertEquals(share.yields(now += YIELD_MS), false);
  first.take();
  assertEquals(share.yields(now), true);
  for (let client = 0; client < 3; client++) second.take();
  assertEquals(share.yields(now), false);
});

Deno.test("a thread alone is never ahead", () => {
  const places = new SharedPlaces(newCells(1), 100, 0, () => {});
  const share = new FairShare(places);
  for (let client = 0; client < 50; client++) {
    assertEquals(share.yields(0), false);
    places.take();
  }
});
