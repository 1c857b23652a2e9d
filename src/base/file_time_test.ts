/** The deadline of file operations. */
import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "./clock.ts";
import { FILE_MS, FILE_SILENT, inFileTime } from "./file_time.ts";

Deno.test("a file operation that does not complete rejects at its deadline, and one that completes does not", async () => {
  const clock = new ManualClock();
  const never = new Promise<never>(() => {});
  const late = assertRejects(() => inFileTime(never, clock), Error, FILE_SILENT);
  await clock.advance(FILE_MS);
  await late;
  const sooner = assertRejects(() => inFileTime(never, clock, 5), Error, FILE_SILENT);
  await clock.advance(5);
  await sooner;
  assertEquals(await inFileTime(Promise.resolve(7), clock), 7);
  assertEquals(clock.pending, 0);
});
