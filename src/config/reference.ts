/**
 * Documents made from the table of options: the reference in the documentation, a sample file, and a JSON
 * schema for editors; also the table of the variables that check programs and triggers receive. Pure: text
 * in, text out; `scripts/reference.ts` reads and writes the files.
 */
import { ConfigError } from "../base/config_error.ts";
import { PROGRAM_VARIABLES } from "../base/program_variables.ts";
import { notesOf } from "./help.ts";
import { flagOf, type Key, KEYS, optionOf, yamlKeyOf } from "./options.ts";
import { defaultOf, isFor, type Mode, type Option } from "./rows.ts";
import { yamlText } from "./print.ts";

/** Keeps `deno fmt` from padding each column to its longest cell. */
const UNFORMATTED = ["<!-- deno-fmt-ignore-start -->", "<!-- deno-fmt-ignore-end -->"] as const;

/** The options as Markdown tables, one for each group. */
export function optionsMarkdown(): string {
  const groups = Map.groupBy(KEYS, (key) => optionOf(key).group);
  return [...groups].map(([group, keys]) =>
    [
      `**${group}**`,
      "",
      "| option | meaning |",
      "| --- | --- |",
      ...keys.map((key) => markdownRow(key, optionOf(key))),
    ].join("\n")
  ).join("\n\n");
}

function markdownRow(key: Key, option: Option): string {
  const value = option.kind.metavar === "" ? "" : ` ${option.kind.metavar}`;
  const short = option.short === undefined ? "" : `\`-${option.short}\`, `;
  const notes = notesOf(option).map((note) => `; ${note}`).join("");
  return `| ${short}\`${cell(flagOf(key) + value)}\` | ${cell(option.help + notes)} |`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

/** The environment variables of check programs and triggers, as a Markdown table. */
export function variablesMarkdown(): string {
  const tick = (is: boolean) => is ? "✓" : "";
  return [
    "| variable | check | trigger | |",
    "| --- | --- | --- | --- |",
    ...Object.entries(PROGRAM_VARIABLES).map(([name, { check, trigger, help }]) =>
      `| \`${name}\` | ${tick(check)} | ${tick(trigger)} | ${cell(help)} |`
    ),
  ].join("\n");
}

/** The page with the table `name` between its markers replaced, or the error if the markers are missing. */
export function withTable(page: string, name: string, markdown: string): string | ConfigError {
  const marks = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`] as const;
  const begin = page.indexOf(marks[0]);
  const end = page.indexOf(marks[1]);
  if (begin < 0 || end < begin) {
    return new ConfigError(`the markers ${marks.join(" and ")} around the ${name}`);
  }
  const head = page.slice(0, begin + marks[0].length);
  const [from, to] = UNFORMATTED;
  return `${head}\n\n${from}\n\n${markdown}\n\n${to}\n\n${page.slice(end)}`;
}

const EXAMPLES: Readonly<Record<Mode, Readonly<Partial<Record<Key, string>>>>> = {
  tcp: { hosts: "db1.example:5432,db2.example:5432", bind: "[::]:5432" },
  http: { primary: "https://app.example", backup: "https://backup.example" },
};

/** A sample file that loads: the required options, and every other option as a comment with its default. */
export function sampleYaml(mode: Mode): string {
  const lines: string[] = [];
  for (const key of KEYS) {
    const option = optionOf(key);
    if (!isFor(option, mode) || option.scope === "command" || option.writes !== undefined) continue;
    const example = EXAMPLES[mode][key];
    const value = example ?? defaultOf(option, mode) ?? "";
    const text = value === "" ? "" : ` ${yamlText(value)}`;
    lines.push(
      `# ${option.help}`,
      `${example === undefined ? "# " : ""}${yamlKeyOf(key)}:${text}`,
      "",
    );
  }
  return lines.join("\n");
}

/** The JSON schema (2020-12) of the config file, for editors. */
export function jsonSchema(): Record<string, unknown> {
  const inFile = KEYS.filter((key) => optionOf(key).scope !== "command");
  const inService = inFile.filter((key) => optionOf(key).scope === "service" && key !== "name");
  const service = {
    type: "object",
    additionalProperties: false,
    properties: Object.fromEntries(inService.map(property)),
  };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "failover",
    type: "object",
    additionalProperties: false,
    properties: {
      ...Object.fromEntries(inFile.map(property)),
      services: { type: "object", minProperties: 1, additionalProperties: service },
    },
  };
}

function property(key: Key): [string, unknown] {
  const option = optionOf(key);
  const fallback = typeof option.default === "string" ? { default: option.default } : {};
  return [yamlKeyOf(key), { description: option.help, ...option.kind.schema, ...fallback }];
}
