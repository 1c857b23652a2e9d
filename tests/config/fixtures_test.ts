/**
 * Complete config files. Each file of `valid/` must load; each file of `invalid/` must give exactly the error
 * lines in the `.txt` beside it. `REWRITE=1` rewrites these: read the diff before committing it.
 */
import { assert, assertEquals } from "@std/assert";
import { load, type Loaded } from "../../src/config/load.ts";
import { type Key, KEYS, optionOf } from "../../src/config/options.ts";
import { isFor } from "../../src/config/rows.ts";

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

Deno.test("every option of a file is in a valid file, with another value than its default", () => {
  const given = new Map<string, Set<string>>();
  for (const name of fixtures(VALID)) {
    const loaded = loadFixture(VALID, name);
    assert(loaded.kind === "run");
    for (const part of [loaded.config.process, ...loaded.config.services]) {
      for (const [key, origin] of Object.entries(part.origins)) {
        const modes = "mode" in part ? [part.mode] : loaded.config.services.map(({ mode }) => mode);
        const value = (part as unknown as Record<string, unknown>)[key];
        for (const mode of modes) {
          const { kind, default: fallback } = optionOf(key as Key);
          const standard = typeof fallback === "object" ? fallback[mode] : fallback;
          if (origin === "default" || kind.print(value) === standard) continue;
          given.set(mode, (given.get(mode) ?? new Set()).add(key));
        }
      }
    }
  }
  for (const mode of ["tcp", "http"] as const) {
    const missing = KEYS.filter((key) => {
      const option = optionOf(key);
      // An option that writes to another one counts as that one.
      const isInFiles = option.scope !== "command" && option.writes === undefined;
      return isInFiles && isFor(option, mode) && !given.get(mode)?.has(key);
    });
    assertEquals(missing, [], `${mode}: add to tests/config/valid/every_option_${mode}.yaml`);
  }
});

Deno.test("all errors of an invalid file are reported together", () => {
  const names = fixtures(INVALID);
  assert(names.length > 15);
  for (const name of names) {
    const loaded = loadFixture(INVALID, name);
    assert(loaded.kind === "errors", `${name} was accepted`);
    assertEquals(loaded.exitCode, 2);
    const reported = loaded.lines.join("\n") + "\n";
    const expected = new URL(name.replace(/\.yaml$/, ".txt"), INVALID);
    if (Deno.env.get("REWRITE") === "1") Deno.writeTextFileSync(expected, reported);
    assertEquals(reported, Deno.readTextFileSync(expected), name);
    assert(!/hush|password/.test(reported), `${name} prints a secret`);
  }
});
