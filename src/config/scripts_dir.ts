/**
 * The folder of scripts that a container image names: `check-host.sh` in it is the check program and
 * `triggers.d` holds the triggers, wherever nothing else says which. That the folder is missing is a
 * mistake; what isn't in it is left alone; what is there and can't be used is a warning, because the
 * operator who mounted it meant it to be used.
 */
import type { Layer, RawOption } from "./raw_option.ts";
import { quote } from "./kinds.ts";
import type { Key } from "./options.ts";
import { whyUnreadable } from "./unreadable.ts";

/** What must be known of a path. */
export type PathInfo = Pick<Deno.FileInfo, "isFile" | "isDirectory" | "mode">;

/** Returns what is there, or throws what `Deno.statSync` throws. */
export type Stat = (path: string) => PathInfo;

export interface Scripts {
  readonly layer: Layer;
  readonly mistakes: readonly string[];
  readonly warnings: readonly string[];
}

/** What no folder, or an empty one, gives. */
export const NO_SCRIPTS: Scripts = {
  layer: { entries: new Map(), shared: true },
  mistakes: [],
  warnings: [],
};

/** The options that the folder stands for: less than a file says, more than a default. */
export function scriptsLayer(folder: string, origin: string, stat: Stat): Scripts {
  const entries = new Map<Key, RawOption>();
  const warnings: string[] = [];
  const found = look(folder, stat) ?? "there is no such folder";
  if (typeof found === "string" || !found.isDirectory) {
    const why = typeof found === "string" ? found : "it is not a folder";
    const line = `Cannot use ${quote(folder)} as scripts_dir: ${why} (from ${origin})`;
    return { ...NO_SCRIPTS, mistakes: [line] };
  }
  function use(key: Key, name: string, whyNot: (info: PathInfo) => string | undefined): void {
    const path = folder.replace(/\/*$/, `/${name}`);
    const found = look(path, stat);
    if (found === undefined) return;
    const reason = typeof found === "string" ? found : whyNot(found);
    if (reason === undefined) entries.set(key, { written: path, origin });
    else warnings.push(`${path} is not used: ${reason} (from ${origin})`);
  }
  use("checkHost", "check-host.sh", ({ isFile, mode }) => {
    if (!isFile) return "it is not a file";
    // Windows has no such mode.
    return mode === null || (mode & 0o111) !== 0 ? undefined : "it is not executable (chmod +x it)";
  });
  use("onFailover", "triggers.d", (info) => info.isDirectory ? undefined : "it is not a folder");
  return { layer: { entries, shared: true }, mistakes: [], warnings };
}

/** What is at the path, why that can't be told, or undefined if nothing is. */
function look(path: string, stat: Stat): PathInfo | string | undefined {
  try {
    return stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof Deno.errors.NotADirectory) return undefined;
    return whyUnreadable(error);
  }
}
