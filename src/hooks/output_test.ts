import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { LINE_MAX, Output, OUTPUT_MAX } from "./output.ts";

/** A pipe that the test writes, as bytes. */
function pipe() {
  let controller!: ReadableByteStreamController;
  const stream = new ReadableStream({
    type: "bytes",
    start(started) {
      controller = started;
    },
  });
  const encoder = new TextEncoder();
  return {
    stream,
    write: (text: string) => controller.enqueue(encoder.encode(text)),
    writeBytes: (bytes: Uint8Array<ArrayBuffer>) => controller.enqueue(bytes),
    end: () => {
      controller.close();
      // Otherwise a read that is under way would not end, see the Streams Standard.
      controller.byobRequest?.respond(0);
    },
  };
}

Deno.test("lines are complete and without their line end, and blank ones are left out", async () => {
  const [out, err] = [pipe(), pipe()];
  const lines: string[] = [];
  const output = new Output(
    [out.stream, err.stream],
    (line) => lines.push(line),
    new ManualClock(),
  );
  out.write("one\n\n  \ntw");
  out.write("o\r\nthree without an end");
  out.end();
  err.end();
  await output.finished;
  assertEquals(lines, ["one", "two", "three without an end"]);
});

Deno.test("a character that arrives in two reads is one character", async () => {
  const out = pipe();
  const lines: string[] = [];
  const output = new Output([out.stream], (line) => lines.push(line), new ManualClock());
  const bytes = new TextEncoder().encode("é\n");
  out.writeBytes(bytes.slice(0, 1));
  out.writeBytes(bytes.slice(1));
  out.end();
  await output.finished;
  assertEquals(lines, ["é"]);
});

Deno.test("a long line is cut, and past the limit of a run one line says that the rest was cut", async () => {
  const out = pipe();
  const lines: string[] = [];
  const output = new Output([out.stream], (line) => lines.push(line), new ManualClock());
  out.write(`${"x".repeat(LINE_MAX + 1)}\n`);
  out.write("y\n".repeat(OUTPUT_MAX));
  out.end();
  await output.finished;
  assertEquals(lines[0], `${"x".repeat(LINE_MAX)} …`);
  assertEquals(lines.at(-1), "(output cut after 64 KB)");
  // Each short line counts 64 bytes, so fewer than 1024 of them fit.
  assertEquals(lines.length < 1_024, true);
});

Deno.test("close() ends the reading of a pipe that stays open", async () => {
  const out = pipe();
  const output = new Output([out.stream], () => {}, new ManualClock());
  await output.close();
  await output.finished;
});
