import { assertEquals } from "@std/assert";
import { HTTP2_RULES, http2Counts } from "./http2_rules.ts";

Deno.test("each rule has a counter, which is 0 until the rule is broken", () => {
  const counts = http2Counts(new Map([["resets", 2]]));
  assertEquals(Object.keys(counts), Object.keys(HTTP2_RULES));
  assertEquals([counts.http2Resets, counts.http2Other], [2, 0]);
});
