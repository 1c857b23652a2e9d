import { assertEquals, assertMatch } from "@std/assert";
import { describe } from "./describe.ts";

Deno.test("an error is one line with the innermost place in our own code", () => {
  const line = describe(new RangeError("too\n  long"));
  assertMatch(line, /^RangeError: too long \(src\/base\/describe_test\.ts:\d+\)$/);
});

Deno.test("an error without a place in our code, and what is no error, is described by its text", () => {
  const foreign = new Error("away");
  foreign.stack = "Error: away\n    at fetch (ext:deno_fetch/26_fetch.js:10:5)";
  assertEquals(describe(foreign), "Error: away");
  assertEquals([describe("text"), describe(undefined)], ["text", "undefined"]);
});
