import { assertEquals, assertThrows } from "@std/assert";
import { OutputFailed, printLine } from "./output.ts";

Deno.test("a line is written completely, however few bytes each write accepts", () => {
  let written = "";
  printLine("größer", (bytes) => {
    written += String.fromCharCode(bytes[0]!);
    return 1;
  });
  assertEquals(
    new TextDecoder().decode(Uint8Array.from(written, (c) => c.charCodeAt(0))),
    "größer\n",
  );
});

Deno.test("a closed pipe is distinguished from a full disk", () => {
  const failing = (error: Error) => () =>
    assertThrows(() =>
      printLine("x", () => {
        throw error;
      }), OutputFailed);
  const gone = failing(new Deno.errors.BrokenPipe("Broken pipe (os error 32)"))();
  const full = failing(new Error("No space left on device (os error 28)"))();
  assertEquals([gone.isReaderGone, full.isReaderGone], [true, false]);
  assertEquals(full.message, "No space left on device");
});
