/**
 * From arguments, environment and file to a frozen `Config`, to a text that was asked for, or to all
 * mistakes at once. Precedence: flag, environment, file, default.
 *
 * It reads nothing itself: arguments, environment and the reader of files are handed in.
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
  isFor,
  type Key,
  type Mode,
  optionOf,
  OPTIONS,
  type ServiceConfig,
  yamlKeyOf,
} from "./options.ts";
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

export interface LoadInput {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Returns the text of a file or throws what `Deno.readTextFileSync` throws. */
  readonly readFile: (path: string) => string;
  readonly stat: Stat;
  readonly interfaces: Interfaces;
}

export type Loaded =
  /** To be run, or (`check`) only to be looked at. */
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
  /** For stderr. What could be read is there too, so that all that is wrong with it can be told at once. */
  | {
    readonly kind: "mistakes";
    readonly lines: readonly string[];
    readonly exitCode: 2;
    readonly readable: Config;
  };

/** All layers of given options, best first, and what was wrong in reading them. */
interface Sources {
  readonly flags: Layer;
  readonly own: Layer;
  readonly general: Layer;
  readonly file: FileOptions;
  readonly mistakes: string[];
  readonly warnings: string[];
}

const NO_MODE = "Nothing says hosts (TCP mode) or primary (HTTP mode)";

/** Finds out what the operator wants. */
export function load(input: LoadInput): Loaded {
  const { layer: flags, mistakes } = readFlags(input.args);
  const command = (key: Key) => isOn(flags, key, mistakes);
  if (command("help")) return { kind: "print", text: helpText(), exitCode: 0 };
  if (command("version")) return { kind: "version" };
  const document = documentOf(flags, mistakes);
  if (document !== undefined) return { kind: "generate", document };
  const wantsPrint = command("printConfig");
  const wantsCheck = command("checkConfig");

  const { own, general, warnings } = readEnvironment(input.env);
  const file = readConfigFile([flags, general], input.readFile, mistakes);
  const config = build({ flags, own, general, file, mistakes, warnings }, input.stat);
  if (mistakes.length === 0) {
    const found = validate(config, input.interfaces);
    mistakes.push(...found.mistakes);
    warnings.push(...found.warnings);
  }

  if (mistakes.length > 0) {
    return { kind: "mistakes", lines: mistakes, exitCode: 2, readable: config };
  }
  if (wantsPrint) return { kind: "print", text: configText(config), exitCode: 0 };
  return { kind: wantsCheck ? "check" : "run", config: freeze(config), warnings };
}

/** Whether a flag that commands something is on. */
function isOn(flags: Layer, key: Key, mistakes: string[]): boolean {
  const given = flags.entries.get(key);
  if (given === undefined) return false;
  const value = onOff.read(given.written);
  if (typeof value === "boolean") return value;
  mistakes.push(badValue(key, given, value));
  return false;
}

/** The document that is asked for; undefined if none is, or if it isn't one of ours. */
function documentOf(flags: Layer, mistakes: string[]): DocumentName | undefined {
  const given = flags.entries.get("generate");
  if (given === undefined) return undefined;
  const value = OPTIONS.generate.kind.read(given.written);
  if (!(value instanceof ConfigError)) return value;
  mistakes.push(badValue("generate", given, value));
  return undefined;
}

function readConfigFile(
  layers: readonly Layer[],
  readFile: (path: string) => string,
  mistakes: string[],
): FileOptions {
  const given = layers.map(({ entries }) => entries.get("config")).find((each) =>
    each !== undefined
  );
  if (given === undefined) return NO_FILE;
  const path = String(given.written);
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    mistakes.push(`Cannot read ${quote(path)}: ${whyUnreadable(error)} (from ${given.origin})`);
    return NO_FILE;
  }
  const file = readYaml(path, text);
  mistakes.push(...file.mistakes);
  return file;
}

function build(sources: Sources, stat: Stat): Config {
  const { flags, own, general, file, mistakes, warnings } = sources;
  // Where a source is broken, what seems to be missing may well be what could not be read.
  const lenient = mistakes.length > 0;
  const process = resolveProcess([flags, own, general, file.top], mistakes);
  const { scriptsDir, origins } = process;
  const scripts = scriptsDir === undefined
    ? NO_SCRIPTS
    : scriptsLayer(scriptsDir, origins.scriptsDir!, stat);
  mistakes.push(...scripts.mistakes);
  warnings.push(...scripts.warnings);
  const services = file.services === undefined
    ? oneService(sources, scripts.layer, lenient)
    : manyServices(sources, file.services, scripts.layer, lenient);
  return { process, services };
}

function oneService(sources: Sources, scripts: Layer, lenient: boolean): ServiceConfig[] {
  const { flags, own, general, file, mistakes, warnings } = sources;
  const layers = [flags, own, general, file.top, scripts];
  const mode = modeOf(layers);
  if (typeof mode === "object") {
    mistakes.push(mode.mistake, ...badValues(layers));
    return [];
  }
  if (mode === undefined) {
    mistakes.push(...badValues(layers));
    if (!lenient) mistakes.push(NO_MODE, ...USAGE);
    return [];
  }
  mistakes.push(...inapplicableOptions(layers, mode));
  for (const [key, given] of general.entries) {
    if (!isFor(optionOf(key), mode)) warnings.push(unused(given, `this is ${MODE_NAMES[mode]}`));
  }
  return [resolveService(layers, mode, mistakes, lenient)];
}

function manyServices(
  { flags, own, general, file, mistakes, warnings }: Sources,
  sections: ReadonlyMap<string, Layer>,
  scripts: Layer,
  lenient: boolean,
): ServiceConfig[] {
  const aimless = [...flags.entries, ...own.entries].filter(([key]) => ofService(key));
  if (aimless.length > 0) {
    const origins = aimless.map(([, given]) => given.origin).join(", ");
    mistakes.push(`Cannot tell which service is meant by ${origins}: the file has several`);
  }
  for (const [key, given] of general.entries) {
    if (ofService(key)) warnings.push(unused(given, "the file has several services"));
  }
  const modes = new Set<Mode>();
  const services: ServiceConfig[] = [];
  for (const [name, section] of sections) {
    const prefix = (line: string) => `Service "${name}": ${line}`;
    const mode = modeOf([section]);
    if (typeof mode === "object") {
      mistakes.push(...[mode.mistake, ...badValues([section])].map(prefix));
    } else if (mode === undefined) {
      mistakes.push(...badValues([section]).map(prefix));
      if (!lenient) mistakes.push(prefix(NO_MODE));
    } else {
      modes.add(mode);
      const found = inapplicableOptions([section], mode);
      services.push(resolveService([section, file.top, scripts], mode, found, lenient));
      mistakes.push(...found.map(prefix));
    }
  }
  const useless = [...file.top.entries].filter(([key]) =>
    ofService(key) && ![...modes].some((mode) => isFor(optionOf(key), mode))
  );
  for (const [key, { origin }] of modes.size > 0 ? useless : []) {
    mistakes.push(`Cannot use ${yamlKeyOf(key)}: no service is in its mode (from ${origin})`);
  }
  return services;
}

function ofService(key: Key): boolean {
  return optionOf(key).scope === "service";
}

function unused(given: RawOption, why: string): string {
  return `${given.origin} is not used: ${why}`;
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
