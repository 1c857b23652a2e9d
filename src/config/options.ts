/**
 * The table of all options. Each row determines the flag, the environment variable, the YAML key, the type,
 * the line in `--help` and the row in `.github/docs/options.md`. The rows are in the folder `options/`, a
 * file for each subject; this file makes one table of them, and everything else follows from it.
 *
 * The key is the name in code: `checkInterval` is `--check-interval`, `FAILOVER_CHECK_INTERVAL` and
 * `check_interval:`.
 */
import type { OptionKind } from "./kinds.ts";
import { CHECK_OPTIONS } from "./options/checks.ts";
import { CLIENT_OPTIONS } from "./options/clients.ts";
import { CLUSTER_OPTIONS } from "./options/cluster.ts";
import { COMMAND_OPTIONS } from "./options/commands.ts";
import { HTTP_OPTIONS, TCP_OPTIONS } from "./options/modes.ts";
import { PROCESS_OPTIONS } from "./options/process.ts";
import { REPORT_OPTIONS } from "./options/reports.ts";
import { REQUEST_OPTIONS } from "./options/requests.ts";
import { SWITCHING_OPTIONS } from "./options/switching.ts";
import { type Mode, type Option, words } from "./rows.ts";

export { flagOf, yamlKeyOf } from "./rows.ts";

/** All options, in the order of `--help`. */
export const OPTIONS = {
  ...TCP_OPTIONS,
  ...HTTP_OPTIONS,
  ...CHECK_OPTIONS,
  ...SWITCHING_OPTIONS,
  ...CLIENT_OPTIONS,
  ...REQUEST_OPTIONS,
  ...CLUSTER_OPTIONS,
  ...REPORT_OPTIONS,
  ...PROCESS_OPTIONS,
  ...COMMAND_OPTIONS,
};

/** The name of an option in code. */
export type Key = keyof typeof OPTIONS;

/** All keys, in the order of the table. */
export const KEYS = Object.keys(OPTIONS) as readonly Key[];

/** The row of an option, with its type widened to `Option`. */
export function optionOf(key: Key): Option {
  return OPTIONS[key];
}

type ReadBy<O> = O extends { readonly kind: OptionKind<infer T> } ? T : never;
/** What `--generate` can print. */
export type DocumentName = ReadBy<(typeof OPTIONS)["generate"]>;
type Value<O> = O extends { readonly default: unknown } | { readonly required: true } ? ReadBy<O>
  : ReadBy<O> | undefined;
type KeysWhere<Wanted> = {
  [K in Key]: (typeof OPTIONS)[K] extends { readonly writes: unknown } ? never
    : (typeof OPTIONS)[K] extends Wanted ? K
    : never;
}[Key];
type Values<K extends Key> = { readonly [P in K]: Value<(typeof OPTIONS)[P]> };

/** The origin of each value: `flag --hosts`, `environment HOSTS`, `config.yaml line 3` or `default`. */
interface WithOrigins {
  readonly origins: Readonly<Partial<Record<Key, string>>>;
}

type ServiceKeys<M extends Mode> = KeysWhere<
  { readonly scope: "service"; readonly mode: M | "both" }
>;

/** All options of one TCP service. */
export type TcpConfig = { readonly mode: "tcp" } & Values<ServiceKeys<"tcp">> & WithOrigins;
/** All options of one HTTP service. */
export type HttpConfig = { readonly mode: "http" } & Values<ServiceKeys<"http">> & WithOrigins;

/** All options of one service; `mode` tells which. */
export type ServiceConfig = TcpConfig | HttpConfig;
/** The options that all services of the process share. */
export type ProcessConfig = Values<KeysWhere<{ readonly scope: "process" }>> & WithOrigins;

/** The complete configuration, frozen. */
export interface Config {
  readonly process: ProcessConfig;
  /** At least one; names and listening addresses differ. */
  readonly services: readonly ServiceConfig[];
}

/** `checkInterval` → `FAILOVER_CHECK_INTERVAL`; undefined for options that no variable can set. */
export function envOf(key: Key): string | undefined {
  if (optionOf(key).scope === "command") return undefined;
  return `FAILOVER_${words(key).join("_").toUpperCase()}`;
}
