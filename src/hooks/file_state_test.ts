import { assertEquals } from "@std/assert";
import { fileChange, fileState } from "./file_state.ts";
import { ProgramFolder } from "./testing/program.ts";

Deno.test("a file that is not written has not changed, and reading it changes nothing", async () => {
  await using folder = await ProgramFolder.make();
  const path = await folder.script("check", "exit 0");
  const before = fileState(path);
  await Deno.readTextFile(path);
  assertEquals(fileChange(path, before), undefined);
});

Deno.test("a file that is gone, or reached through something that is gone, is removed", async () => {
  await using folder = await ProgramFolder.make();
  const path = await folder.script("check", "exit 0");
  const before = fileState(path);
  await Deno.remove(path);
  assertEquals(fileChange(path, before), "removed");
  assertEquals(fileChange(`${path}/below`, undefined), "removed");
});

Deno.test("another file of the same length and time under the same name is a replacement", async () => {
  await using folder = await ProgramFolder.make();
  const path = await folder.script("check", "exit 0");
  const at = new Date(1_000_000);
  await Deno.utime(path, at, at);
  const before = fileState(path);
  const next = await folder.script("next", "exit 1");
  await Deno.utime(next, at, at);
  await Deno.rename(next, path);
  assertEquals(fileChange(path, before), "replaced");
});

Deno.test({
  name: "a link that leads elsewhere, and a file that lost its mode, are replacements",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await ProgramFolder.make();
    const first = await folder.script("first", "exit 0");
    const second = await folder.script("second", "exit 0");
    const link = `${folder.path}/link`;
    await Deno.symlink(first, link);
    const [ofLink, ofFile] = [fileState(link), fileState(second)];
    await Deno.remove(link);
    await Deno.symlink(second, link);
    assertEquals(fileChange(link, ofLink), "replaced");
    await Deno.chmod(second, 0o644);
    assertEquals(fileChange(second, ofFile), "replaced");
  },
});

Deno.test("a file that appeared only afterwards was not what ran", async () => {
  await using folder = await ProgramFolder.make();
  const path = `${folder.path}/check`;
  const before = fileState(path);
  await folder.script("check", "exit 0");
  assertEquals(fileChange(path, before), "replaced");
});
