/**
 * `--scripts-dir`: a folder, named by the container image, whose `check-host.sh` is the check program and
 * whose `triggers.d` holds the triggers, unless other options name them. A missing folder is an error; a
 * missing entry is ignored; an entry that cannot be used is a warning, because the operator who mounted it
 * expects it to be used.
 */
import type { Layer, RawOption } from "./raw_option.ts";
import { quote } from "./kinds.ts";
import type { Key } from "./options.ts";
import { whyUnreadable } from "./unreadable.ts";

/** The properties of a path that are needed here; `Deno.FileInfo` has them. */
export type PathInfo = Pick<Deno.FileInfo, "isFile" | "isDirectory" | "mode">;

/** Returns information about a path; throws as `Deno.statSync` does. */
export type Stat = (path: string) => PathInfo;

/** What a scripts folder implies. */
export interface Scripts {
  readonly layer: Layer;
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

/** The result without a folder, or with an empty one. */
export const NO_SCRIPTS: Scripts = {
  layer: { entries: new Map(), shared: true },
  errors: [],
  warnings: [],
};

/** The options that the folder implies. Their precedence is below the file's and above the defaults'. */
export function scriptsLayer(folder: string, origin: string, stat: Stat): Scripts {
  const entries = new Map<Key, RawOption>();
  const warnings: string[] = [];
  const found = look(folder, stat) ?? "there is no such folder";
  if (typeof found === "string" || !found.isDirectory) {
    const why = typeof found === "string" ? found : "it is not a folder";
    const line = `Cannot use ${quote(folder)} as scripts_dir: ${why} (from ${origin})`;
    return { ...NO_SCRIPTS, errors: [line] };
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
    // Windows has no permission bits.
    return mode === null || (mode & 0o111) !== 0 ? undefined : "it is not executable (chmod +x it)";
  });
  use("onFailover", "triggers.d", (info) => info.isDirectory ? undefined : "it is not a folder");
  return { layer: { entries, shared: true }, errors: [], warnings };
}

/** Information about the path, the reason why it is unknown, or undefined if nothing is there. */
function look(path: string, stat: Stat): PathInfo | string | undefined {
  try {
    return stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof Deno.errors.NotADirectory) return undefined;
    return whyUnreadable(error);
  }
}
