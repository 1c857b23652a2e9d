import { assertEquals } from "@std/assert";
import { ConnectionError } from "./connection_error.ts";
import { ERROR } from "./frames.ts";

Deno.test("it says the same for a peer and for a person", () => {
  const error = new ConnectionError(ERROR.enhanceYourCalm, "too many frames: resets");
  assertEquals([error.code, error.words, error.message], [
    11,
    "too many frames: resets",
    "too many frames: resets",
  ]);
});
