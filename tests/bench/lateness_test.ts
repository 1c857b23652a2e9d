import { assertEquals, assertThrows } from "@std/assert";
import { latenesses, readArrival } from "./lateness.ts";

Deno.test("[bench] a check is late by what the time since the last one exceeds the interval", () => {
  assertEquals(latenesses([0, 100, 250, 340, 440], 50, 500, 100), [0, 50, 0, 0]);
});

Deno.test("[bench] the first check of the window counts from the last one before it", () => {
  assertEquals(latenesses([0, 40, 300], 100, 350, 100), [160]);
});

Deno.test("[bench] checks that stopped are late until the end, also if none arrived at all", () => {
  assertEquals(latenesses([0, 100], 50, 1_100, 100), [0, 900]);
  assertEquals(latenesses([], 0, 1_000, 100), [900]);
  assertEquals(latenesses([0, 2_000], 0, 1_000, 100), [900]);
});

Deno.test("[bench] an arrival is a port and a time", () => {
  assertEquals(readArrival("8080 1700000000000.25"), { port: 8080, at: 1_700_000_000_000.25 });
  assertThrows(() => readArrival("hello"), Error, "Not an arrival");
});
