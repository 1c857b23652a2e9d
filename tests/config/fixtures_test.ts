/**
 * Whole files as operators write them. Each of `valid/` must load; each of `invalid/` must give exactly
 * the lines of the `.txt` beside it. `REWRITE=1` renews those: read the diff before committing it.
 */
import { assert, assertEquals } from "@std/assert";
import { load, type Loaded } from "../../src/config/load.ts";

function loadFixture(folder: URL, name: string): Loaded {
  return load({
    args: ["--config", name],
    env: {},
    readFile: (path) => Deno.readTextFileSync(new URL(path, folder)),
    stat: Deno.statSync,
    interfaces: () => [],
  });
}

function fixtures(folder: URL): string[] {
  const names = [...Deno.readDirSync(folder)].map((entry) => entry.name);
  return names.filter((name) => name.endsWith(".yaml")).sort();
}

const VALID = new URL("valid/", import.meta.url);
const INVALID = new URL("invalid/", import.meta.url);

Deno.test("every valid file loads without a warning", () => {
  const names = fixtures(VALID);
  assert(names.length > 5);
  for (const name of names) {
    const loaded = loadFixture(VALID, name);
    assert(loaded.kind === "run", `${name}: ${JSON.stringify(loaded)}`);
    assertEquals(loaded.warnings, [], name);
  }
});

Deno.test("every invalid file is told what is wrong with it, all at once", () => {
  const names = fixtures(INVALID);
  assert(names.length > 15);
  for (const name of names) {
    const loaded = loadFixture(INVALID, name);
    assert(loaded.kind === "mistakes", `${name} was taken`);
    assertEquals(loaded.exitCode, 2);
    const told = loaded.lines.join("\n") + "\n";
    const expected = new URL(name.replace(/\.yaml$/, ".txt"), INVALID);
    if (Deno.env.get("REWRITE") === "1") Deno.writeTextFileSync(expected, told);
    assertEquals(told, Deno.readTextFileSync(expected), name);
    assert(!/hush|password/.test(told), `${name} tells a secret`);
  }
});
