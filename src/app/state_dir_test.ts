import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { checkStateDir } from "./state_dir.ts";

function check(stateDir: string | undefined): Promise<string | undefined> {
  return checkStateDir({ stateDir, origins: { stateDir: "flag --state-dir" } });
}

Deno.test("a folder that exists, or can be made, is valid; no file is left in it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assertEquals(await check(undefined), undefined);
    assertEquals(await check(folder), undefined);
    assertEquals(await check(`${folder}/a/b/`), undefined);
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a file of that name, and a parent in which nothing can be made, are errors in one line", async () => {
  const file = await Deno.makeTempFile();
  try {
    assertEquals(
      await check(file),
      `Cannot use "${file}" as state_dir: it is not a folder (from flag --state-dir)`,
    );
    assertStringIncludes((await check(`${file}/state`))!, "is not a folder");
  } finally {
    await Deno.remove(file);
  }
  if (Deno.build.os !== "linux") return;
  const line = await check("/proc/nowhere/state");
  assert(line?.includes("it cannot be made") && !line.includes("\n"), line);
});
