import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { AccessLogFile } from "./access_log_file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function withFile(
  run: (
    file: AccessLogFile,
    around: { readonly path: string; readonly clock: ManualClock; readonly kept: string[] },
  ) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/access.log`;
  const clock = new ManualClock();
  const kept: string[] = [];
  try {
    using file = await AccessLogFile.open(path, clock, (reason) => kept.push(reason));
    await run(file, { path, clock, kept });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("AccessLogFile appends, and its file is not readable by everybody", async () => {
  await withFile(async (file, { path }) => {
    await Promise.all([file.write(bytes("one\n")), file.write(bytes("two\n"))]);
    assertEquals(await Deno.readTextFile(path), "one\ntwo\n");
    if (Deno.build.os !== "windows") assertEquals((await Deno.stat(path)).mode! & 0o007, 0);
  });
});

Deno.test("AccessLogFile makes a new file when the old one was moved", async () => {
  await withFile(async (file, { path, clock }) => {
    await file.write(bytes("one\n"));
    await Deno.rename(path, `${path}.1`);
    await file.write(bytes("two\n"));
    await clock.advance(1_000);
    await file.write(bytes("three\n"));
    assertEquals(await Deno.readTextFile(`${path}.1`), "one\ntwo\n");
    assertEquals(await Deno.readTextFile(path), "three\n");
  });
});

Deno.test("AccessLogFile.reopen() makes a new file at once", async () => {
  await withFile(async (file, { path }) => {
    await file.write(bytes("one\n"));
    await Deno.rename(path, `${path}.1`);
    file.reopen();
    await file.write(bytes("two\n"));
    assertEquals(await Deno.readTextFile(path), "two\n");
  });
});

Deno.test("AccessLogFile continues with the old file if no new one can be made", async () => {
  await withFile(async (file, { path, kept }) => {
    await file.write(bytes("one\n"));
    await Deno.rename(path, `${path}.1`);
    await Deno.mkdir(path);
    file.reopen();
    assertEquals(await file.write(bytes("two\n")), { lost: 0, reason: "" });
    assertEquals(kept.length, 1);
    assertEquals(await Deno.readTextFile(`${path}.1`), "one\ntwo\n");
  });
});

Deno.test({
  name: "AccessLogFile reports how many lines could not be written to a full disk",
  ignore: Deno.build.os !== "linux",
  async fn() {
    using file = await AccessLogFile.open("/dev/full", new ManualClock(), () => {});
    const { lost, reason } = await file.write(bytes("one\ntwo\n"));
    assertEquals([lost, /space/i.test(reason)], [2, true]);
  },
});

Deno.test({
  name: "AccessLogFile opens a named pipe that nobody reads",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    const path = `${folder}/pipe`;
    try {
      const { success } = await new Deno.Command("mkfifo", { args: [path] }).output();
      assertEquals(success, true);
      using file = await AccessLogFile.open(path, new ManualClock(), () => {});
      assertEquals(await file.write(bytes("one\n")), { lost: 0, reason: "" });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
