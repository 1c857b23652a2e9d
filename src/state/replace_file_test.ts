import { assertEquals, assertRejects } from "@std/assert";
import { replaceFile } from "./replace_file.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";

Deno.test("a file is replaced as a whole, and only its owner can read it", () =>
  inTempFolder(async (folder) => {
    await replaceFile(`${folder}/a.json`, "a long first text");
    await replaceFile(`${folder}/a.json`, "short");
    assertEquals(await Deno.readTextFile(`${folder}/a.json`), "short");
    assertEquals((await Deno.stat(`${folder}/a.json`)).mode! & 0o777, 0o600);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["a.json"]);
  }));

Deno.test("a partly written file that a crash left beside the file is replaced", () =>
  inTempFolder(async (folder) => {
    await Deno.writeTextFile(
      `${folder}/a.json.new`,
      "a torn text that is longer than the next one",
    );
    await replaceFile(`${folder}/a.json`, "whole");
    assertEquals(await Deno.readTextFile(`${folder}/a.json`), "whole");
  }));

Deno.test("a file that cannot be replaced stays as it was", () =>
  inTempFolder(async (folder) => {
    await replaceFile(`${folder}/a.json`, "first");
    await Deno.mkdir(`${folder}/a.json.new`);
    await assertRejects(() => replaceFile(`${folder}/a.json`, "second"));
    assertEquals(await Deno.readTextFile(`${folder}/a.json`), "first");
  }));
