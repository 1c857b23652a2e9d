/** Checks the state folder before anything starts. Part of the composition root. */
import { realClock } from "../base/clock.ts";
import { inFileTime } from "../base/file_time.ts";
import { quote } from "../config/kinds.ts";
import type { ProcessConfig } from "../config/options.ts";
import { whyUnreadable } from "../config/unreadable.ts";

/** Returns an error line if the folder does not exist and cannot be made. Does not make it yet. */
export async function checkStateDir(
  { stateDir, origins }: Pick<ProcessConfig, "stateDir" | "origins">,
): Promise<string | undefined> {
  if (stateDir === undefined) return undefined;
  const why = await inFileTime(objection(stateDir), realClock).catch(whyUnreadable);
  return why === undefined
    ? undefined
    : `Cannot use ${quote(stateDir)} as state_dir: ${why} (from ${origins.stateDir})`;
}

async function objection(path: string): Promise<string | undefined> {
  const info = await statOf(path);
  if (info !== undefined) return info.isDirectory ? undefined : "it is not a folder";
  const parent = await existingParent(path);
  if (parent === undefined) return "it cannot be made: something in its path is not a folder";
  try {
    // Permission bits do not say whether a file system is read-only.
    await Deno.remove(await Deno.makeTempDir({ dir: parent, prefix: ".failover-" }));
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "nothing" : whyUnreadable(error);
    return reason === "nothing"
      ? `it cannot be made: nothing can be made in ${parent}`
      : `it cannot be made: ${reason}`;
  }
}

/** The nearest existing folder above `path`; undefined if there is a file instead. */
async function existingParent(path: string): Promise<string | undefined> {
  for (let at = path;;) {
    const parent = at.replace(/[/\\]*[^/\\]*[/\\]*$/, "");
    const folder = parent !== "" ? parent : /^[/\\]/.test(at) ? "/" : ".";
    const info = await statOf(folder);
    if (info !== undefined) return info.isDirectory ? folder : undefined;
    if (folder === "/" || folder === ".") return undefined;
    at = folder;
  }
}

async function statOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}
