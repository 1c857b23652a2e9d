import { assertEquals, assertRejects } from "@std/assert";
import { incidentsFile, inputsOf, readIncidents } from "./stored.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";

Deno.test("a missing file counts as empty, and something other than a file is not read", async () => {
  await inTempFolder(async (folder) => {
    assertEquals((await readIncidents(folder)).lines, 0);
    if (Deno.build.os === "windows") return;
    await Deno.symlink("/dev/zero", incidentsFile(folder));
    await assertRejects(() => readIncidents(folder), Error, "is no regular file");
  });
});

Deno.test("a line without an end that is too long counts as damaged, and takes no memory", async () => {
  await inTempFolder(async (folder) => {
    const file = await Deno.open(incidentsFile(folder), { write: true, create: true });
    const part = new Uint8Array(1024 * 1024).fill(0x61);
    for (let n = 0; n < 20; n++) await file.write(part);
    file.close();
    const { incidents, damaged, isTorn } = await readIncidents(folder);
    assertEquals([incidents.size, damaged, isTorn], [0, 1, true]);
  });
});

Deno.test("an incident without a line of inputs has no inputs", () => {
  assertEquals(inputsOf({ record: {} as never, line: "", inputsLine: undefined }), undefined);
});
