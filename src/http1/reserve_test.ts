import { assertEquals } from "@std/assert";
import { reserveOf } from "./reserve.ts";

Deno.test("an eighth more connections are accepted, but 8 at least and 64 at most", () => {
  assertEquals([1, 64, 65, 512, 10_000].map(reserveOf), [8, 8, 9, 64, 64]);
});
