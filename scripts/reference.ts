/**
 * Renews the tables of options and of variables in README.md.
 * `--check` only says whether it is up to date; `--sample tcp|http` and `--schema` print the others.
 */
import { ConfigError } from "../src/base/config_error.ts";
import { jsonSchema, sampleYaml, withTables } from "../src/config/reference.ts";

const README = new URL("../README.md", import.meta.url);

/** Exit code: 0 when all is well, 1 when the README is out of date or has no place for the options. */
function main(args: readonly string[]): number {
  if (args[0] === "--schema") {
    console.log(JSON.stringify(jsonSchema(), null, 2));
    return 0;
  }
  if (args[0] === "--sample") {
    console.log(sampleYaml(args[1] === "http" ? "http" : "tcp"));
    return 0;
  }
  const before = Deno.readTextFileSync(README);
  const after = withTables(before);
  if (after instanceof ConfigError) {
    console.error(`Cannot write the tables into README.md: expected ${after.expected}`);
    return 1;
  }
  if (after === before) return 0;
  if (args[0] === "--check") {
    console.error(
      "README.md is not up to date with src/config/options.ts and src/base/program_variables.ts: " +
        "run scripts/reference.ts",
    );
    return 1;
  }
  Deno.writeTextFileSync(README, after);
  return 0;
}

if (import.meta.main) Deno.exit(main(Deno.args));
