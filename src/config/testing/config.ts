/** Helpers for the tests of this room: loading options without files or an environment. */
import { load, type Loaded } from "../load.ts";
import type { Config, HttpConfig, TcpConfig } from "../options.ts";

import type { Interfaces } from "../own_address.ts";
import type { PathInfo } from "../scripts_dir.ts";

/** The inputs of `load` besides the arguments. */
export interface ConfigFixture {
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  /** The paths that `stat` finds, with or without a trailing slash; their parent folders exist as well. */
  readonly infos?: Readonly<Record<string, PathInfo>>;
  readonly interfaces?: Interfaces;
}

/** The result of `stat` for a folder. */
export const FOLDER: PathInfo = { isFile: false, isDirectory: true, mode: 0o40755 };

export function loadWith(args: readonly string[], fixture: ConfigFixture = {}): Loaded {
  return load({
    args,
    env: fixture.env ?? {},
    interfaces: fixture.interfaces ?? (() => []),
    readFile(path) {
      const text = fixture.files?.[path];
      if (text === undefined) throw new Deno.errors.NotFound(path);
      return text;
    },
    stat(path) {
      const bare = path.replace(/\/$/, "");
      const info = fixture.infos?.[bare];
      if (info !== undefined) return info;
      if (Object.keys(fixture.infos ?? {}).some((each) => each.startsWith(`${bare}/`))) {
        return FOLDER;
      }
      throw new Deno.errors.NotFound(path);
    },
  });
}

/** The config; throws with the errors if there are any. */
export function configOf(args: readonly string[], fixture?: ConfigFixture): Config {
  const loaded = loadWith(args, fixture);
  if (loaded.kind !== "run") throw new Error(JSON.stringify(loaded, null, 2));
  return loaded.config;
}

export function tcpOf(args: readonly string[], fixture?: ConfigFixture): TcpConfig {
  const service = configOf(args, fixture).services[0];
  if (service?.mode !== "tcp") throw new Error("not a TCP service");
  return service;
}

export function httpOf(args: readonly string[], fixture?: ConfigFixture): HttpConfig {
  const service = configOf(args, fixture).services[0];
  if (service?.mode !== "http") throw new Error("not an HTTP service");
  return service;
}

/** The error lines; throws if the options are good. */
export function errorsOf(args: readonly string[], fixture?: ConfigFixture): readonly string[] {
  const loaded = loadWith(args, fixture);
  if (loaded.kind !== "errors") throw new Error(JSON.stringify(loaded, null, 2));
  return loaded.lines;
}

export function warningsOf(args: readonly string[], fixture?: ConfigFixture): readonly string[] {
  const loaded = loadWith(args, fixture);
  if (loaded.kind !== "run") throw new Error(JSON.stringify(loaded, null, 2));
  return loaded.warnings;
}
