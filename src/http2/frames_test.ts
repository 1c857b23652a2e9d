/** Frames are printed as RFC 9113 section 6 draws them. */
import { assertEquals } from "@std/assert";
import { FrameWriter, readUint31, readUint32, SETTING } from "./frames.ts";
import { framesOf, printed, summary } from "./testing/frames.ts";

Deno.test("each frame has its length, type, flags and stream", () => {
  const bytes = printed((out) => {
    out.settings([[SETTING.maxConcurrentStreams, 100]]);
    out.settingsAck();
    out.data(5, new TextEncoder().encode("hello"), 1, 4, true);
    out.windowUpdate(7, 0x7fff_ffff);
    out.resetStream(9, 8);
    out.goAway(11, 2, "why");
    out.ping(new Uint8Array([9, 1, 2, 3, 4, 5, 6, 7, 8]), 1, true);
  });
  const [frames, taken] = framesOf(bytes);
  assertEquals(taken, bytes.length);
  assertEquals(frames.map(summary), [
    "settings on 0",
    "settings+1 on 0",
    "data+1 on 5 3",
    "windowUpdate on 7 2147483647",
    "resetStream on 9 code 8",
    "goAway on 0 last 11 code 2",
    "ping+1 on 0",
  ]);
  assertEquals([...frames[0]!.payload], [0, 3, 0, 0, 0, 100]);
  assertEquals(new TextDecoder().decode(frames[2]!.payload), "ell");
  assertEquals(new TextDecoder().decode(frames[5]!.payload.subarray(8)), "why");
  assertEquals([...frames[6]!.payload], [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("the buffer grows with its content, and is small again afterwards", () => {
  const out = new FrameWriter();
  const payload = new Uint8Array(16_384).fill(7);
  for (let i = 0; i < 10; i++) out.data(1, payload, 0, payload.length, false);
  assertEquals(out.length, 10 * (16_384 + 9));
  const [frames] = framesOf(out.bytes.slice(0, out.length));
  assertEquals(frames.every((one) => one.payload.every((byte) => byte === 7)), true);
  out.clear();
  assertEquals([out.length, out.bytes.length], [0, 0]);
});

Deno.test("writers share large buffers one after another, and never at one time", () => {
  const payload = new Uint8Array(16_384);
  const [one, two] = [new FrameWriter(), new FrameWriter()];
  for (const out of [one, two]) out.data(1, payload, 0, payload.length, false);
  const first = one.bytes;
  assertEquals(first === two.bytes, false);
  one.clear();
  two.data(1, payload, 0, payload.length, false);
  assertEquals(first === two.bytes, false);
  one.ping(payload, 0, false);
  const three = new FrameWriter();
  three.data(1, payload, 0, payload.length, false);
  assertEquals(three.bytes === first, true);
});

Deno.test("a writer of small frames has a buffer only while there is something in it", () => {
  const [one, two] = [new FrameWriter(), new FrameWriter()];
  assertEquals([one.bytes.length, two.bytes.length], [0, 0]);
  one.settingsAck();
  const { bytes } = one;
  assertEquals(bytes.length, 4096);
  one.clear();
  two.settingsAck();
  assertEquals([one.bytes.length, two.bytes === bytes], [0, true]);
});

Deno.test("numbers of 32 and of 31 bits", () => {
  const bytes = new Uint8Array([0, 0xff, 0xff, 0xff, 0xfe]);
  assertEquals([readUint32(bytes, 1), readUint31(bytes, 1)], [0xffff_fffe, 0x7fff_fffe]);
});
