/**
 * Writes the tables of the documentation that are generated from code: options, variables of programs, events
 * and metrics. `--check` only reports whether they are up to date; `--sample tcp|http` and `--schema` print
 * other documents.
 */
import { ConfigError } from "../src/base/config_error.ts";
import {
  jsonSchema,
  optionsMarkdown,
  sampleYaml,
  variablesMarkdown,
  withTable,
} from "../src/config/reference.ts";
import { eventsMarkdown, metricsMarkdown } from "./events_reference.ts";

const DOCS = new URL("../.github/docs/", import.meta.url);
const EVENTS = new URL("../src/events/events.ts", import.meta.url);

/** Each table: its name between the markers, its page, and the function that makes it. */
const TABLES: readonly {
  readonly name: string;
  readonly page: string;
  readonly markdown: () => string | Promise<string>;
}[] = [
  { name: "options", page: "options.md", markdown: optionsMarkdown },
  { name: "variables", page: "scripts.md", markdown: variablesMarkdown },
  {
    name: "events",
    page: "events.md",
    markdown: () => eventsMarkdown(Deno.readTextFileSync(EVENTS)),
  },
  { name: "metrics", page: "events.md", markdown: metricsMarkdown },
];

/** Returns the exit code: 0 if all pages are up to date, 1 if one is not or has no markers for its table. */
async function main(args: readonly string[]): Promise<number> {
  if (args[0] === "--schema") {
    console.log(JSON.stringify(jsonSchema(), null, 2));
    return 0;
  }
  if (args[0] === "--sample") {
    console.log(sampleYaml(args[1] === "http" ? "http" : "tcp"));
    return 0;
  }
  let stale = 0;
  for (const { name, page, markdown } of TABLES) {
    const before = Deno.readTextFileSync(new URL(page, DOCS));
    const after = withTable(before, name, await markdown());
    if (after instanceof ConfigError) {
      console.error(`Cannot write the ${name} into ${page}: expected ${after.expected}`);
      return 1;
    }
    if (after === before) continue;
    if (args[0] === "--check") {
      stale++;
      console.error(`.github/docs/${page}: the ${name} are out of date: run deno task reference`);
    } else Deno.writeTextFileSync(new URL(page, DOCS), after);
  }
  return stale === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
