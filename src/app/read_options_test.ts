import { assert, assertEquals } from "@std/assert";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import type { LoadInput } from "../config/load.ts";
import { checkOptions, readOptions } from "./read_options.ts";

function inputOf(...args: string[]): LoadInput {
  return {
    args,
    env: {},
    readFile: (path) => Deno.readTextFileSync(path),
    stat: (path) => Deno.statSync(path),
    interfaces: () => [],
  };
}

const GOOD = ["--hosts", "a:1,b:1", "--bind", "127.0.0.1:1"];

Deno.test("good options are read with the programs that they name", async () => {
  const read = await readOptions(inputOf(...GOOD));
  assert("config" in read);
  assertEquals([read.config.services.length, read.programs.length], [1, 1]);
});

Deno.test("all mistakes come at once, those in files among them", () =>
  inTempFolder(async (folder) => {
    const wrong = ["--fail-threshold", "0", "--on-failover", `${folder}/none`];
    const lines = await readOptions(inputOf(...GOOD, ...wrong));
    assert(lines instanceof Array);
    assertEquals(lines.map((line) => line.replace(/ as .*/s, "")), [
      'Cannot use "0"',
      `Cannot use "${folder}/none"`,
    ]);
  }));

Deno.test("a command line without a proxy is no config", async () => {
  assertEquals(await readOptions(inputOf("--version")), ["These are not the options of a proxy"]);
});

Deno.test("files that options name are checked again each time", () =>
  inTempFolder(async (folder) => {
    const program = `${folder}/promote`;
    await Deno.writeTextFile(program, "#!/bin/sh\n", { mode: 0o755 });
    const read = await readOptions(inputOf(...GOOD, "--on-failover", program));
    assert("config" in read);
    assert("programs" in await checkOptions(read.config));
    await Deno.remove(program);
    assert(await checkOptions(read.config) instanceof Array);
  }));
