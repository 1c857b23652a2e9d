/**
 * From layers of what was given, best first, to the typed options of one service or of the process. The
 * first layer that has an option wins, and only the winner is read.
 */
import { ConfigError } from "../base/config_error.ts";
import type { Layer, RawOption } from "./raw_option.ts";
import type { Target } from "./http_kinds.ts";
import { quote } from "./kinds.ts";
import {
  defaultOf,
  type HttpConfig,
  isFor,
  type Key,
  KEYS,
  type Mode,
  type Option,
  optionOf,
  type ProcessConfig,
  type ServiceConfig,
  yamlKeyOf,
} from "./options.ts";

export const MODE_NAMES = { tcp: "TCP mode", http: "HTTP mode" } as const;

/** The options whose presence says which mode is meant. */
const MODE_KEYS = { tcp: ["hosts"], http: ["primary", "backup"] } as const;

/** Says what is wrong with one value: what was found, what was expected, where it came from. */
export function badValue(key: Key, given: RawOption, { expected, found }: ConfigError): string {
  const what = optionOf(key).secret ? '"***"' : found ?? quote(given.written);
  return `Cannot use ${what} as ${yamlKeyOf(key)}: expected ${expected} (from ${given.origin})`;
}

/** A line for each mistake in one value. */
function badLines(key: Key, given: RawOption, mistake: ConfigError): string[] {
  return [mistake, ...mistake.others].map((each) => badValue(key, given, each));
}

/** Which mode the operator means: undefined if nothing says so, a line if both are meant. */
export function modeOf(layers: readonly Layer[]): Mode | undefined | { mistake: string } {
  const firm = layers.filter((layer) => !layer.shared);
  const tcp = find(firm, MODE_KEYS.tcp);
  const http = find(firm, MODE_KEYS.http);
  if (tcp !== undefined && http !== undefined) {
    return {
      mistake: `Cannot run one service in both modes: hosts (from ${tcp.origin}) means TCP mode, ` +
        `primary or backup (from ${http.origin}) HTTP mode`,
    };
  }
  if (http !== undefined) return "http";
  return tcp !== undefined || find(layers, MODE_KEYS.tcp) !== undefined ? "tcp" : undefined;
}

function find(layers: readonly Layer[], keys: readonly Key[]): RawOption | undefined {
  for (const { entries } of layers) {
    for (const key of keys) if (entries.has(key)) return entries.get(key);
  }
  return undefined;
}

/** Options that were given although they mean nothing in this mode, a line for each. */
export function inapplicableOptions(layers: readonly Layer[], mode: Mode): string[] {
  const lines: string[] = [];
  for (const { entries, shared } of layers) {
    for (const [key, given] of shared ? [] : entries) {
      const option = optionOf(key);
      if (isFor(option, mode) || option.scope !== "service") continue;
      const other = mode === "tcp" ? "http" : "tcp";
      lines.push(
        `Cannot use ${yamlKeyOf(key)} in ${MODE_NAMES[mode]}: it belongs to ` +
          `${MODE_NAMES[other]} (from ${given.origin})`,
      );
    }
  }
  return lines;
}

/** Reads all options of one service. `lenient` leaves out lines about what is missing. */
export function resolveService(
  layers: readonly Layer[],
  mode: Mode,
  mistakes: string[],
  lenient: boolean,
): ServiceConfig {
  const keys = KEYS.filter((key) => {
    const option = optionOf(key);
    return option.scope === "service" && isFor(option, mode) && option.writes === undefined;
  });
  const values = resolve(keys, layers, mode, mistakes, lenient);
  // The keys are those of the type, which follows from the same table.
  const service = { mode, ...values } as unknown as ServiceConfig;
  // What could not be read is missing from it.
  return service.mode === "http" && mistakes.length === 0 ? withOwnNames(service) : service;
}

/**
 * Names are the identity of an upstream wherever one is told or counted, but two may be written alike: the
 * primary again as its own backup, or one server with two passwords. The later one gets a number, which
 * no URL could be mistaken for.
 */
function withOwnNames(service: HttpConfig): HttpConfig {
  const uses = new Map<string, number>();
  const named = <T extends Target>(target: T): T => {
    const use = (uses.get(target.name) ?? 0) + 1;
    uses.set(target.name, use);
    return use === 1 ? target : { ...target, name: `${target.name} (${use})` };
  };
  return {
    ...service,
    primary: named(service.primary),
    ...service.backup && { backup: service.backup.map(named) },
  };
}

/** What is wrong with the given values of a service whose mode nobody can tell. */
export function badValues(layers: readonly Layer[]): string[] {
  return KEYS.filter((key) => optionOf(key).scope === "service").flatMap((key) => {
    const given = layers.map(({ entries }) => entries.get(key)).find((each) => each !== undefined);
    const value = given === undefined ? undefined : optionOf(key).kind.read(given.written);
    return value instanceof ConfigError ? badLines(key, given!, value) : [];
  });
}

/** Reads the options that all services share. */
export function resolveProcess(layers: readonly Layer[], mistakes: string[]): ProcessConfig {
  const keys = KEYS.filter((key) => optionOf(key).scope === "process");
  // What all services share has no default by mode, so either mode will do.
  return resolve(keys, layers, "tcp", mistakes, false) as unknown as ProcessConfig;
}

function resolve(
  keys: readonly Key[],
  layers: readonly Layer[],
  mode: Mode,
  mistakes: string[],
  lenient: boolean,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const key of keys) {
    const option = optionOf(key);
    const found = winner(key, layers, mode, mistakes) ?? fallback(key, option, mode);
    if (found === undefined) {
      if (option.required && !lenient) mistakes.push(missing(key, mode));
      values[key] = undefined;
      continue;
    }
    const { kind } = optionOf(found.key);
    const { written, folder } = found.given;
    const value = kind.read(written);
    if (value instanceof ConfigError) mistakes.push(...badLines(found.key, found.given, value));
    else values[key] = folder === undefined ? value : kind.within?.(value, folder) ?? value;
    origins[key] = found.given.origin;
  }
  return { ...values, origins };
}

/** The given value that counts, and the option as which it was written. */
function winner(
  key: Key,
  layers: readonly Layer[],
  mode: Mode,
  mistakes: string[],
): { key: Key; given: RawOption } | undefined {
  const spellings = [key, ...KEYS.filter((other) => optionOf(other).writes?.[mode] === key)];
  for (const { entries } of layers) {
    const present = spellings.filter((each) => entries.has(each));
    if (present.length > 1) {
      const origins = present.map((each) => entries.get(each)!.origin).join(" and ");
      const names = present.map(yamlKeyOf).join(" and ");
      mistakes.push(`Cannot use both ${names}: give one of them (from ${origins})`);
    }
    const first = present[0];
    if (first !== undefined) return { key: first, given: entries.get(first)! };
  }
  return undefined;
}

function fallback(
  key: Key,
  option: Option,
  mode: Mode,
): { key: Key; given: RawOption } | undefined {
  const written = defaultOf(option, mode);
  return written === undefined ? undefined : { key, given: { written, origin: "default" } };
}

function missing(key: Key, mode: Mode): string {
  const others = KEYS.filter((other) => optionOf(other).writes?.[mode] === key);
  const names = [...others, key].map(yamlKeyOf).join(" or ");
  return `Nothing says ${names}, which ${MODE_NAMES[mode]} needs`;
}
