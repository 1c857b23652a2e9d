/**
 * Options from a YAML file: all of one service at the top level, or several services under `services:`,
 * where the top level holds what they have in common. Nothing is understood here but the keys. Scalars
 * stay text (YAML's failsafe schema), so that `1.50`, `off` and `0x1F` mean what they look like.
 */
import { parse } from "@std/yaml";
import { didYouMean, type Given, type Layer } from "./given.ts";
import type { Written } from "./kinds.ts";
import { keyLines } from "./lines.ts";
import { type Key, KEYS, optionOf, yamlKeyOf } from "./options.ts";

export interface FileOptions {
  readonly top: Layer;
  /** By name, in the order of the file; undefined for a file of one service. */
  readonly services: ReadonlyMap<string, Layer> | undefined;
  readonly mistakes: readonly string[];
}

type Section = Readonly<Record<string, Written>>;

const BY_YAML_KEY = new Map(
  KEYS.filter((key) => optionOf(key).scope !== "command").map((key) => [yamlKeyOf(key), key]),
);

/** Reads the text of a file; `path` is only for origins and mistakes. */
export function readYaml(path: string, text: string): FileOptions {
  const none = { top: { entries: new Map(), shared: false }, services: undefined };
  let content: Written;
  try {
    content = parse(text, { schema: "failsafe" }) as Written;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The lines below the first quote the file, which may hold secrets.
    const why = error.message.split("\n")[0]!.replace(/:$/, "");
    return { ...none, mistakes: [`Cannot read ${path}: ${why}`] };
  }
  // An empty file, or one of nothing but comments.
  if (content === null) return { ...none, mistakes: [] };
  if (!isSection(content)) {
    const found = Array.isArray(content) ? "a list" : "a single value";
    return {
      ...none,
      mistakes: [`Cannot use ${path}: expected "key: value" lines, found ${found}`],
    };
  }
  return new Reader(path, text).read(content);
}

/** One walk through a file. */
class Reader {
  readonly #path: string;
  readonly #lines: ReturnType<typeof keyLines>;
  readonly #mistakes: string[] = [];

  constructor(path: string, text: string) {
    this.#path = path;
    this.#lines = keyLines(text);
  }

  read(content: Section): FileOptions {
    const { services: sections, ...top } = content;
    if (sections === undefined || sections === null) {
      const entries = this.#section(top, [], () => undefined);
      return this.#result({ entries, shared: false }, undefined);
    }
    const topEntries = this.#section(
      top,
      [],
      (key) => optionOf(key).own ? `belongs to one service: write it under "services"` : undefined,
    );
    const services = new Map<string, Layer>();
    if (!isSection(sections) || Object.keys(sections).length === 0) {
      this.#mistakes.push(
        `Cannot use "services" in ${this.#at(["services"])}: expected a name and options for each`,
      );
    } else {
      for (const [name, section] of Object.entries(sections)) {
        services.set(name, { entries: this.#service(name, section), shared: false });
      }
    }
    return this.#result({ entries: topEntries, shared: true }, services);
  }

  #service(name: string, section: Written): Map<Key, Given> {
    const where = ["services", name];
    if (!isSection(section)) {
      this.#mistakes.push(
        `Cannot use service "${name}" in ${this.#at(where)}: expected its options`,
      );
      return new Map();
    }
    const entries = this.#section(section, where, (key) => {
      if (key === "name") return `is the key under "services" already`;
      return optionOf(key).scope === "process"
        ? "is for the whole process: write it at the top level"
        : undefined;
    });
    entries.set("name", { written: name, origin: this.#at(where) });
    return entries;
  }

  #section(
    section: Section,
    where: readonly string[],
    refuse: (key: Key) => string | undefined,
  ): Map<Key, Given> {
    const entries = new Map<Key, Given>();
    for (const [yamlKey, written] of Object.entries(section)) {
      const origin = this.#at([...where, yamlKey]);
      const key = BY_YAML_KEY.get(yamlKey);
      const refusal = key === undefined ? undefined : refuse(key);
      if (key === undefined) {
        const known = [...BY_YAML_KEY.keys(), "services"];
        this.#mistakes.push(
          `Unknown key "${yamlKey}" in ${origin}${didYouMean(yamlKey, known)}`,
        );
      } else if (refusal !== undefined) {
        this.#mistakes.push(`Cannot use "${yamlKey}" in ${origin}: it ${refusal}`);
      } else if (written !== null && written !== "") {
        entries.set(key, { written, origin });
      }
    }
    return entries;
  }

  #at(where: readonly string[]): string {
    const line = this.#lines(where);
    return line === undefined ? this.#path : `${this.#path} line ${line}`;
  }

  #result(top: Layer, services: Map<string, Layer> | undefined): FileOptions {
    return { top, services, mistakes: this.#mistakes };
  }
}

function isSection(written: Written): written is Section {
  return typeof written === "object" && written !== null && !Array.isArray(written);
}
