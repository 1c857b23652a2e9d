import { assertEquals, assertThrows } from "@std/assert";
import { ConnectionError } from "./connection_error.ts";
import { FLAG } from "./frames.ts";
import { unpadded } from "./padding.ts";

const bytes = new Uint8Array([9, 2, 5, 5, 0, 0]);

Deno.test("without the flag, all of it is payload", () => {
  assertEquals(unpadded(0, bytes, 1, 6), [1, 6]);
});

Deno.test("with it, the first byte says how much of the end is padding", () => {
  assertEquals(unpadded(FLAG.padded, bytes, 1, 6), [2, 4]);
  assertEquals(unpadded(FLAG.padded, bytes, 1, 4), [2, 2]);
});

Deno.test("padding must fit", () => {
  assertThrows(() => unpadded(FLAG.padded, bytes, 1, 3), ConnectionError, "more padding");
  assertThrows(() => unpadded(FLAG.padded, bytes, 1, 1), ConnectionError, "no room");
});
