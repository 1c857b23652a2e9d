/** The streams of one socket, on real sockets. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { drop, flow, SourceReader, throwBug } from "./streams.ts";
import { encode, readToEnd, writeAll } from "../testing/relay_fixture.ts";
import { socketPair } from "../../net/testing/socket_pair.ts";

/** Text in which each kilobyte differs from the others. */
function pattern(length: number): string {
  return Array.from({ length: length / 10 }, (_, index) => String(index).padStart(10)).join("");
}

Deno.test("bytes that were read ahead come first, and none is lost", async () => {
  const [[source, from], [sink, to]] = await Promise.all([socketPair(), socketPair()]);
  using _source = source;
  using _sink = sink;
  const sent = pattern(300_000);
  const writing = writeAll(from, encode(sent)).then(() => from.closeWrite());
  const reader = new SourceReader(source);
  assertEquals([reader.arrived, await reader.first(), reader.arrived], [
    "nothing yet",
    "bytes",
    "bytes",
  ]);
  // Without a receiver it reads no more than it has room for, which is less than all.
  await reader.watch();
  let moved = 0;
  const received = readToEnd(to);
  assertEquals(await flow(reader, sink, (bytes) => void (moved += bytes)), "ended");
  await writing;
  assertEquals([moved, await received === sent], [sent.length, true]);
  from.close();
  to.close();
});

Deno.test("an end of stream before any byte is noticed without a stream", async () => {
  const [source, from] = await socketPair();
  using _source = source;
  using _from = from;
  await from.closeWrite();
  const reader = new SourceReader(source);
  assertEquals([await reader.first(), reader.failed], ["end", false]);
  await reader.watch();
});

Deno.test("a flow says which side has failed", async () => {
  const [[source, from], [sink, to]] = await Promise.all([socketPair(), socketPair()]);
  using _from = from;
  using _sink = sink;
  using _to = to;
  const reader = new SourceReader(source);
  source.close();
  assertEquals([await reader.first(), reader.failed], ["failed", true]);
  assertEquals(await flow(reader, sink, () => {}), "sourceFailed");

  const [[live, writer], [dead, other]] = await Promise.all([socketPair(), socketPair()]);
  using _live = live;
  using _writer = writer;
  using _other = other;
  dead.close();
  await writeAll(writer, encode(pattern(10)));
  assertEquals(await flow(new SourceReader(live), dead, () => {}), "sinkFailed");
});

Deno.test("dropping ends with the socket, or at its maximum", async () => {
  const [source, from] = await socketPair();
  using _source = source;
  using _from = from;
  await writeAll(from, encode(pattern(100_000)));
  await drop(source, 1_000);
  await from.closeWrite();
  await drop(source, Infinity);
});

Deno.test("only errors that a socket can cause count as errors of a socket", async () => {
  throwBug(new Deno.errors.ConnectionReset("x"));
  assertThrows(() => throwBug(new TypeError("a bug")), TypeError);
  const [source, from] = await socketPair();
  from.close();
  source.close();
  await assertRejects(() => drop(source, 1));
});
