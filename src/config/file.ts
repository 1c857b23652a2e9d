/**
 * Options from a YAML file. The file describes one service at the top level, or several under `services:`;
 * then the top level holds the options they share. Only keys are interpreted here: scalars stay text
 * (YAML's failsafe schema), so that `1.50`, `off` and `0x1F` reach the option's kind as they are written.
 * An empty value counts as not set.
 */
import { parse } from "@std/yaml";
import { didYouMean, type Layer, type RawOption } from "./raw_option.ts";
import type { Written } from "./kinds.ts";
import { keyLines } from "./lines.ts";
import { type Key, KEYS, optionOf, yamlKeyOf } from "./options.ts";
import { yamlFault } from "./yaml_fault.ts";

/** What a config file says, uninterpreted, and its errors. */
export interface FileOptions {
  readonly top: Layer;
  /** By name, in the order of the file; undefined for a file of one service. */
  readonly services: ReadonlyMap<string, Layer> | undefined;
  readonly errors: readonly string[];
}

/** The result for a missing or empty file: no options, no errors. */
export const NO_FILE: FileOptions = {
  top: { entries: new Map(), shared: false },
  services: undefined,
  errors: [],
};

type Section = Readonly<Record<string, Written>>;

const BY_YAML_KEY = new Map(
  KEYS.filter((key) => optionOf(key).scope !== "command").map((key) => [yamlKeyOf(key), key]),
);

/**
 * Parses the text of a file. `path` appears in origins and errors, and its folder is the base of relative
 * paths.
 */
export function readYaml(path: string, text: string): FileOptions {
  let content: Written;
  try {
    content = parse(text, { schema: "failsafe" }) as Written;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const { place, reason } = yamlFault(error);
    return { ...NO_FILE, errors: [`Cannot read ${path}${place}: ${reason}`] };
  }
  // An empty file, or one of nothing but comments.
  if (content === null) return NO_FILE;
  if (!isSection(content)) {
    const found = Array.isArray(content) ? "a list" : "a single value";
    return {
      ...NO_FILE,
      errors: [`Cannot use ${path}: expected "key: value" lines, found ${found}`],
    };
  }
  const folder = path.replace(/[^/\\]*$/, "");
  const context: ParseContext = { path, folder, lineOf: keyLines(text), errors: [] };
  const { services, ...top } = content;
  if (services !== undefined) return severalServices(context, top, services);
  const entries = entriesOf(context, top, [], () => undefined);
  return { ...NO_FILE, top: { entries, shared: false }, errors: context.errors };
}

/** The state of reading one file. */
interface ParseContext {
  readonly path: string;
  /** The folder from which relative paths in the file are taken; empty for the working directory. */
  readonly folder: string;
  readonly lineOf: ReturnType<typeof keyLines>;
  readonly errors: string[];
}

function severalServices(context: ParseContext, top: Section, sections: Written): FileOptions {
  const shared = entriesOf(
    context,
    top,
    [],
    (key) => optionOf(key).own ? `it belongs to one service: write it under "services"` : undefined,
  );
  const services = new Map<string, Layer>();
  if (isSection(sections) && Object.keys(sections).length > 0) {
    for (const [name, section] of Object.entries(sections)) {
      services.set(name, { entries: serviceEntries(context, name, section), shared: false });
    }
  } else {
    const where = originOf(context, ["services"]);
    context.errors.push(`Cannot use "services" in ${where}: expected a name and options for each`);
  }
  return { top: { entries: shared, shared: true }, services, errors: context.errors };
}

function serviceEntries(
  context: ParseContext,
  name: string,
  section: Written,
): Map<Key, RawOption> {
  const where = ["services", name];
  const origin = originOf(context, where);
  if (!isSection(section)) {
    context.errors.push(`Cannot use service "${name}" in ${origin}: expected its options`);
    return new Map();
  }
  const entries = entriesOf(context, section, where, (key) => {
    if (key === "name") return `it is the key under "services" already`;
    const isProcess = optionOf(key).scope === "process";
    return isProcess ? "it is for the whole process: write it at the top level" : undefined;
  });
  return entries.set("name", { written: name, origin });
}

/** The options of one mapping. `refuse` returns the reason if a key is not allowed in this place. */
function entriesOf(
  context: ParseContext,
  section: Section,
  where: readonly string[],
  refuse: (key: Key) => string | undefined,
): Map<Key, RawOption> {
  const entries = new Map<Key, RawOption>();
  for (const [yamlKey, written] of Object.entries(section)) {
    const origin = originOf(context, [...where, yamlKey]);
    const key = BY_YAML_KEY.get(yamlKey);
    if (key === undefined) {
      const hint = didYouMean(yamlKey, [...BY_YAML_KEY.keys(), "services"]);
      context.errors.push(`Unknown key "${yamlKey}" in ${origin}${hint}`);
      continue;
    }
    const refusal = refuse(key);
    if (refusal !== undefined) {
      context.errors.push(`Cannot use "${yamlKey}" in ${origin}: ${refusal}`);
    } else if (written !== null && written !== "") {
      entries.set(key, { written, origin, folder: context.folder });
    }
  }
  return entries;
}

function originOf(context: ParseContext, where: readonly string[]): string {
  const line = context.lineOf(where);
  return line === undefined ? context.path : `${context.path} line ${line}`;
}

function isSection(written: Written): written is Section {
  return typeof written === "object" && written !== null && !Array.isArray(written);
}
