/** Which connections may be closed for others. */
import { assertEquals } from "@std/assert";
import { isIdle, isSlow } from "./closable.ts";

Deno.test("whoever has just come may be about to ask; a head may be slow", () => {
  assertEquals(isIdle({ idleSince: 0, hasAsked: false }, 999), false);
  assertEquals(isIdle({ idleSince: 0, hasAsked: false }, 1_000), true);
  assertEquals(isIdle({ idleSince: 0, hasAsked: true }, 250), true);
  assertEquals(isIdle({ idleSince: Infinity, hasAsked: true }, 9_999), false);
  assertEquals([isSlow({ headSince: 0 }, 1_999), isSlow({ headSince: 0 }, 2_000)], [false, true]);
});
