/**
 * Compares two configs: which services come, go and stay, which options of those that stay differ, and which of
 * these differences cannot be put into force while the process runs. Pure.
 */
import { formatAddress } from "../base/address.ts";
import {
  type Config,
  type Key,
  KEYS,
  optionOf,
  type ProcessConfig,
  type ServiceConfig,
  yamlKeyOf,
} from "./options.ts";
import { MODE_NAMES } from "./resolve.ts";

/** One option that differs. The values are as an operator writes them; those of a secret are not shown. */
export interface OptionChange {
  readonly key: Key;
  /** Undefined if it is not set. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** The origin of the new value: `config.yaml line 3`. */
  readonly origin: string | undefined;
}

/** A service that is in both configs, changed or not. */
export interface KeptService {
  readonly before: ServiceConfig;
  readonly after: ServiceConfig;
  /** In the order of the table of options. */
  readonly changes: readonly OptionChange[];
}

/** What differs between two configs. */
export interface Comparison {
  /** Options of the process. */
  readonly process: readonly OptionChange[];
  /** In the order of the new config. */
  readonly added: readonly ServiceConfig[];
  readonly kept: readonly KeptService[];
  /** In the order of the old one. */
  readonly removed: readonly ServiceConfig[];
}

/** Compares the values of all options, wherever they come from. Services are recognised by their names. */
export function compareConfigs(before: Config, after: Config): Comparison {
  const former = new Map(before.services.map((service) => [service.name, service]));
  const names = new Set(after.services.map(({ name }) => name));
  const [one, other] = [before.services, after.services];
  const [only, next] = [one[0]!, other[0]!];
  // The only one, under another name at the same place, is still that service: its name has changed.
  if (one.length === 1 && other.length === 1 && isSamePlace(only, next)) {
    names.add(only.name);
    former.set(next.name, only);
  }
  return {
    process: optionChanges(before.process, after.process),
    added: other.filter(({ name }) => !former.has(name)),
    kept: other.flatMap((service) => {
      const before = former.get(service.name);
      if (before === undefined) return [];
      return [{ before, after: service, changes: optionChanges(before, service) }];
    }),
    removed: one.filter(({ name }) => !names.has(name)),
  };
}

function optionChanges<Part extends ProcessConfig | ServiceConfig>(
  before: Part,
  after: Part,
): OptionChange[] {
  const [old, present] = [before, after].map((part) =>
    part as unknown as Readonly<Record<string, unknown>>
  ) as [Readonly<Record<string, unknown>>, Readonly<Record<string, unknown>>];
  return KEYS.filter((key) => key in old || key in present)
    .filter((key) => JSON.stringify(old[key]) !== JSON.stringify(present[key]))
    .map((key) => ({
      key,
      from: textOf(key, old[key]),
      to: textOf(key, present[key]),
      origin: after.origins[key],
    }));
}

function textOf(key: Key, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const { secret, kind } = optionOf(key);
  return secret ? "***" : kind.print(value);
}

/** True if nothing differs. */
export function isSameConfig({ process, added, kept, removed }: Comparison): boolean {
  return process.length === 0 && added.length === 0 && removed.length === 0 &&
    kept.every(({ changes }) => changes.length === 0);
}

/** What differs, one line each, for a person: `service db: hosts a:1 → a:1,b:1`. */
export function changeLines({ process, added, kept, removed }: Comparison): string[] {
  return [
    ...process.map((change) => changeText(change)),
    ...removed.map(({ name }) => `service ${name} goes`),
    ...kept.flatMap(({ before, changes }) =>
      changes.map((change) => `service ${before.name}: ${changeText(change)}`)
    ),
    ...added.map((service) => {
      const { name, mode } = service;
      return `service ${name} comes: it listens on ${
        formatAddress(placeOf(service))
      }, ${mode.toUpperCase()} mode`;
    }),
  ];
}

function changeText({ key, from, to }: OptionChange): string {
  return `${yamlKeyOf(key)} ${from ?? "(not set)"} → ${to ?? "(not set)"}`;
}

function isSamePlace(one: ServiceConfig, other: ServiceConfig): boolean {
  return one.mode === other.mode && formatAddress(placeOf(one)) === formatAddress(placeOf(other));
}

/** Where a service listens. */
export function placeOf(service: ServiceConfig) {
  return service.mode === "tcp" ? service.bind : service.listen;
}

/** One error line for each difference that needs a restart: the options say which (`Option.fixed`). */
export function fixedLines({ process, added, kept, removed }: Comparison): string[] {
  const lines = process.flatMap((change) => fixedLine(change, ""));
  for (const { before, after, changes } of kept) {
    const of = ` of service ${before.name}`;
    if (before.mode !== after.mode) {
      lines.push(
        `Cannot turn service ${before.name} from ${MODE_NAMES[before.mode]} to ${
          MODE_NAMES[after.mode]
        } while it runs: that needs a restart`,
      );
    } else lines.push(...changes.flatMap((change) => fixedLine(change, of)));
  }
  const open = new Map(
    [...kept.map(({ before }) => before), ...removed].map((service) => [
      formatAddress(placeOf(service)),
      service.name,
    ]),
  );
  for (const service of added) {
    const place = formatAddress(placeOf(service));
    const owner = open.get(place);
    if (owner === undefined) continue;
    lines.push(
      `Cannot open ${place} for service ${service.name}: it is the port of service ${owner}, ` +
        "and for another one needs a restart",
    );
  }
  return lines;
}

function fixedLine({ key, from, to, origin }: OptionChange, of: string): string[] {
  const { fixed } = optionOf(key);
  if (fixed === undefined) return [];
  const source = origin === undefined ? "" : ` (from ${origin})`;
  return [
    `Cannot change ${yamlKeyOf(key)}${of} from ${from ?? "(not set)"} to ${
      to ?? "(not set)"
    } while it runs: ${fixed}; that needs a restart${source}`,
  ];
}
