/**
 * Turns layers of raw options into the typed options of one service or of the process. Layers come in
 * order of precedence; the first one that has an option wins, and only the winning value is read.
 */
import { ConfigError } from "../base/config_error.ts";
import type { Layer, RawOption } from "./raw_option.ts";
import type { Target } from "./http_kinds.ts";
import { quote } from "./kinds.ts";
import {
  type HttpConfig,
  type Key,
  KEYS,
  optionOf,
  type ProcessConfig,
  type ServiceConfig,
  yamlKeyOf,
} from "./options.ts";
import { defaultOf, isFor, type Mode, type Option } from "./rows.ts";

/** The modes in words, for errors and documents. */
export const MODE_NAMES = { tcp: "TCP mode", http: "HTTP mode" } as const;

/** The options whose presence decides the mode. */
const MODE_KEYS = { tcp: ["hosts"], http: ["primary", "backup"] } as const;

/** The error line for one value: what was found, what was expected, and its origin. */
export function badValue(key: Key, raw: RawOption, { expected, found }: ConfigError): string {
  const what = optionOf(key).secret ? '"***"' : found ?? quote(raw.written);
  return `Cannot use ${what} as ${yamlKeyOf(key)}: expected ${expected} (from ${raw.origin})`;
}

/** One line for each error in one value. */
function badLines(key: Key, raw: RawOption, error: ConfigError): string[] {
  return [error, ...error.others].map((each) => badValue(key, raw, each));
}

/** The mode that the options imply: undefined if none does, an error line if both do. */
export function modeOf(layers: readonly Layer[]): Mode | undefined | { error: string } {
  const firm = layers.filter((layer) => !layer.shared);
  const tcp = find(firm, MODE_KEYS.tcp);
  const http = find(firm, MODE_KEYS.http);
  if (tcp !== undefined && http !== undefined) {
    return {
      error: `Cannot run one service in both modes: hosts (from ${tcp.origin}) means TCP mode, ` +
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

/** Error lines for options that were set although they do not apply in this mode. */
export function inapplicableOptions(layers: readonly Layer[], mode: Mode): string[] {
  const lines: string[] = [];
  for (const { entries, shared } of layers) {
    for (const [key, raw] of shared ? [] : entries) {
      const option = optionOf(key);
      if (isFor(option, mode) || option.scope !== "service") continue;
      const other = mode === "tcp" ? "http" : "tcp";
      lines.push(
        `Cannot use ${yamlKeyOf(key)} in ${MODE_NAMES[mode]}: it belongs to ` +
          `${MODE_NAMES[other]} (from ${raw.origin})`,
      );
    }
  }
  return lines;
}

/** Reads all options of one service. With `lenient`, missing required options are not reported. */
export function resolveService(
  layers: readonly Layer[],
  mode: Mode,
  errors: string[],
  lenient: boolean,
): ServiceConfig {
  const keys = KEYS.filter((key) => {
    const option = optionOf(key);
    return option.scope === "service" && isFor(option, mode) && option.writes === undefined;
  });
  const values = resolve(keys, layers, mode, errors, lenient);
  // The cast is safe because the type is derived from the same table as the keys.
  const service = { mode, ...values } as unknown as ServiceConfig;
  // Values that could not be read are missing in the result.
  return service.mode === "http" && errors.length === 0 ? withOwnNames(service) : service;
}

/**
 * Gives upstreams unique names. Names identify an upstream in logs, metrics and state, but two upstreams may
 * have the same text: the primary as its own backup, or one server with two passwords. The later one gets
 * a number appended, in a form that is not a valid URL.
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

/** Error lines for the values of a service whose mode is unknown. */
export function badValues(layers: readonly Layer[]): string[] {
  return KEYS.filter((key) => optionOf(key).scope === "service").flatMap((key) => {
    const raw = layers.map(({ entries }) => entries.get(key)).find((each) => each !== undefined);
    const value = raw === undefined ? undefined : optionOf(key).kind.read(raw.written);
    return value instanceof ConfigError ? badLines(key, raw!, value) : [];
  });
}

/** Reads the options of the process, which all services share. */
export function resolveProcess(layers: readonly Layer[], errors: string[]): ProcessConfig {
  const keys = KEYS.filter((key) => optionOf(key).scope === "process");
  // No process option has a default that depends on the mode, so either mode gives the same.
  return resolve(keys, layers, "tcp", errors, false) as unknown as ProcessConfig;
}

function resolve(
  keys: readonly Key[],
  layers: readonly Layer[],
  mode: Mode,
  errors: string[],
  lenient: boolean,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const key of keys) {
    const option = optionOf(key);
    const found = winner(key, layers, mode, errors) ?? fallback(key, option, mode);
    if (found === undefined) {
      if (option.required && !lenient) errors.push(missing(key, mode));
      values[key] = undefined;
      continue;
    }
    const { kind } = optionOf(found.key);
    const { written, folder } = found.raw;
    const value = kind.read(written);
    if (value instanceof ConfigError) errors.push(...badLines(found.key, found.raw, value));
    else values[key] = folder === undefined ? value : kind.within?.(value, folder) ?? value;
    origins[key] = found.raw.origin;
  }
  return { ...values, origins };
}

/** The raw value with precedence for an option, and the key under which it was written. */
function winner(
  key: Key,
  layers: readonly Layer[],
  mode: Mode,
  errors: string[],
): { key: Key; raw: RawOption } | undefined {
  const spellings = [key, ...KEYS.filter((other) => optionOf(other).writes?.[mode] === key)];
  for (const { entries } of layers) {
    const present = spellings.filter((each) => entries.has(each));
    if (present.length > 1) {
      const origins = present.map((each) => entries.get(each)!.origin).join(" and ");
      const names = present.map(yamlKeyOf).join(" and ");
      errors.push(`Cannot use both ${names}: give one of them (from ${origins})`);
    }
    const first = present[0];
    if (first !== undefined) return { key: first, raw: entries.get(first)! };
  }
  return undefined;
}

function fallback(
  key: Key,
  option: Option,
  mode: Mode,
): { key: Key; raw: RawOption } | undefined {
  const written = defaultOf(option, mode);
  return written === undefined ? undefined : { key, raw: { written, origin: "default" } };
}

function missing(key: Key, mode: Mode): string {
  const others = KEYS.filter((other) => optionOf(other).writes?.[mode] === key);
  const names = [...others, key].map(yamlKeyOf).join(" or ");
  return `Nothing says ${names}, which ${MODE_NAMES[mode]} needs`;
}
