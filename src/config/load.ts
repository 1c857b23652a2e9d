/**
 * Turns arguments, environment and file into a frozen `Config`, into a text that was requested, or into the
 * list of all errors. Precedence: flag, environment, file, default.
 *
 * The sources pass through three steps. `flags.ts`, `environment.ts` and `file.ts` turn each source into a
 * layer of `RawOption`s (`raw_option.ts`): uninterpreted values with their origin. `resolve.ts` reads the
 * winning value of each option by its kind; a value that cannot be read is a `ConfigError`, and an option of
 * the other mode is reported by `inapplicableOptions`. `validate.ts` checks the typed options against each
 * other. This module does no I/O: arguments, environment and the function that reads files are parameters.
 */
import { ConfigError } from "../base/config_error.ts";
import { validate } from "./validate.ts";
import { readEnvironment } from "./environment.ts";
import { type FileOptions, NO_FILE, readYaml } from "./file.ts";
import { readFlags } from "./flags.ts";
import type { Layer, RawOption } from "./raw_option.ts";
import { helpText, USAGE } from "./help.ts";
import { onOff, quote } from "./kinds.ts";
import {
  type Config,
  type DocumentName,
  type Key,
  optionOf,
  OPTIONS,
  type ServiceConfig,
  yamlKeyOf,
} from "./options.ts";
import { isFor, type Mode } from "./rows.ts";
import type { Interfaces } from "./own_address.ts";
import { configText } from "./print.ts";
import {
  badValue,
  badValues,
  inapplicableOptions,
  MODE_NAMES,
  modeOf,
  resolveProcess,
  resolveService,
} from "./resolve.ts";
import { NO_SCRIPTS, scriptsLayer, type Stat } from "./scripts_dir.ts";
import { whyUnreadable } from "./unreadable.ts";

/** The sources of the options, and what they are checked with. */
export interface LoadInput {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Returns the text of a file; throws as `Deno.readTextFileSync` does. */
  readonly readFile: (path: string) => string;
  readonly stat: Stat;
  readonly interfaces: Interfaces;
}

/** What the program is to do. */
export type Loaded =
  /** A config to run or, with `check`, only to report on. */
  | {
    readonly kind: "run" | "check";
    readonly config: Config;
    readonly warnings: readonly string[];
  }
  /** For stdout. */
  | { readonly kind: "print"; readonly text: string; readonly exitCode: 0 }
  | { readonly kind: "version" }
  /** A document that `config/documents.ts` writes, for stdout. */
  | { readonly kind: "generate"; readonly document: DocumentName }
  /**
   * Errors for stderr. `readable` holds the options that could be read, so that their files can be
   * checked as well.
   */
  | {
    readonly kind: "errors";
    readonly lines: readonly string[];
    readonly exitCode: 2;
    readonly readable: Config;
  };

/** The layers of raw options, highest precedence first, and the errors of reading them. */
interface Sources {
  readonly flags: Layer;
  readonly own: Layer;
  readonly general: Layer;
  readonly file: FileOptions;
  readonly errors: string[];
  readonly warnings: string[];
}

const NO_MODE = "Nothing says hosts (TCP mode) or primary (HTTP mode)";

/** Loads the options. Never throws for wrong options: they are returned as errors, one line each. */
export function load(input: LoadInput): Loaded {
  const { layer: flags, errors } = readFlags(input.args);
  const command = (key: Key) => isOn(flags, key, errors);
  if (command("help")) return { kind: "print", text: helpText(), exitCode: 0 };
  if (command("version")) return { kind: "version" };
  const document = documentOf(flags, errors);
  if (document !== undefined) return { kind: "generate", document };
  const wantsPrint = command("printConfig");
  const wantsCheck = command("checkConfig");

  const { own, general, warnings } = readEnvironment(input.env);
  const file = readConfigFile([flags, general], input.readFile, errors);
  const config = build({ flags, own, general, file, errors, warnings }, input.stat);
  if (errors.length === 0) {
    const found = validate(config, input.interfaces);
    errors.push(...found.errors);
    warnings.push(...found.warnings);
  }

  if (errors.length > 0) {
    return { kind: "errors", lines: errors, exitCode: 2, readable: config };
  }
  if (wantsPrint) return { kind: "print", text: configText(config), exitCode: 0 };
  return { kind: wantsCheck ? "check" : "run", config: freeze(config), warnings };
}

/** Whether a command flag such as `--help` is on. */
function isOn(flags: Layer, key: Key, errors: string[]): boolean {
  const raw = flags.entries.get(key);
  if (raw === undefined) return false;
  const value = onOff.read(raw.written);
  if (typeof value === "boolean") return value;
  errors.push(badValue(key, raw, value));
  return false;
}

/**
 * The document that `--generate` requests; undefined without the flag, or with an error added if it is
 * unknown.
 */
function documentOf(flags: Layer, errors: string[]): DocumentName | undefined {
  const raw = flags.entries.get("generate");
  if (raw === undefined) return undefined;
  const value = OPTIONS.generate.kind.read(raw.written);
  if (!(value instanceof ConfigError)) return value;
  errors.push(badValue("generate", raw, value));
  return undefined;
}

function readConfigFile(
  layers: readonly Layer[],
  readFile: (path: string) => string,
  errors: string[],
): FileOptions {
  const raw = layers.map(({ entries }) => entries.get("config")).find((each) => each !== undefined);
  if (raw === undefined) return NO_FILE;
  const path = String(raw.written);
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    errors.push(`Cannot read ${quote(path)}: ${whyUnreadable(error)} (from ${raw.origin})`);
    return NO_FILE;
  }
  const file = readYaml(path, text);
  errors.push(...file.errors);
  return file;
}

function build(sources: Sources, stat: Stat): Config {
  const { flags, own, general, file, errors, warnings } = sources;
  // If a source could not be read, an option that seems missing may be in it: do not report it.
  const lenient = errors.length > 0;
  const process = resolveProcess([flags, own, general, file.top], errors);
  const { scriptsDir, origins } = process;
  const scripts = scriptsDir === undefined
    ? NO_SCRIPTS
    : scriptsLayer(scriptsDir, origins.scriptsDir!, stat);
  errors.push(...scripts.errors);
  warnings.push(...scripts.warnings);
  const services = file.services === undefined
    ? oneService(sources, scripts.layer, lenient)
    : manyServices(sources, file.services, scripts.layer, lenient);
  return { process, services };
}

function oneService(sources: Sources, scripts: Layer, lenient: boolean): ServiceConfig[] {
  const { flags, own, general, file, errors, warnings } = sources;
  const layers = [flags, own, general, file.top, scripts];
  const mode = modeOf(layers);
  if (typeof mode === "object") {
    errors.push(mode.error, ...badValues(layers));
    return [];
  }
  if (mode === undefined) {
    errors.push(...badValues(layers));
    if (!lenient) errors.push(NO_MODE, ...USAGE);
    return [];
  }
  errors.push(...inapplicableOptions(layers, mode));
  for (const [key, raw] of general.entries) {
    if (!isFor(optionOf(key), mode)) warnings.push(unused(raw, `this is ${MODE_NAMES[mode]}`));
  }
  return [resolveService(layers, mode, errors, lenient)];
}

function manyServices(
  { flags, own, general, file, errors, warnings }: Sources,
  sections: ReadonlyMap<string, Layer>,
  scripts: Layer,
  lenient: boolean,
): ServiceConfig[] {
  const aimless = [...flags.entries, ...own.entries].filter(([key]) => ofService(key));
  if (aimless.length > 0) {
    const origins = aimless.map(([, raw]) => raw.origin).join(", ");
    errors.push(`Cannot tell which service is meant by ${origins}: the file has several`);
  }
  for (const [key, raw] of general.entries) {
    if (ofService(key)) warnings.push(unused(raw, "the file has several services"));
  }
  const modes = new Set<Mode>();
  const services: ServiceConfig[] = [];
  for (const [name, section] of sections) {
    const prefix = (line: string) => `Service "${name}": ${line}`;
    const mode = modeOf([section]);
    if (typeof mode === "object") {
      errors.push(...[mode.error, ...badValues([section])].map(prefix));
    } else if (mode === undefined) {
      errors.push(...badValues([section]).map(prefix));
      if (!lenient) errors.push(prefix(NO_MODE));
    } else {
      modes.add(mode);
      const found = inapplicableOptions([section], mode);
      services.push(resolveService([section, file.top, scripts], mode, found, lenient));
      errors.push(...found.map(prefix));
    }
  }
  const useless = [...file.top.entries].filter(([key]) =>
    ofService(key) && ![...modes].some((mode) => isFor(optionOf(key), mode))
  );
  for (const [key, { origin }] of modes.size > 0 ? useless : []) {
    errors.push(`Cannot use ${yamlKeyOf(key)}: no service is in its mode (from ${origin})`);
  }
  return services;
}

function ofService(key: Key): boolean {
  return optionOf(key).scope === "service";
}

function unused(raw: RawOption, why: string): string {
  return `${raw.origin} is not used: ${why}`;
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
