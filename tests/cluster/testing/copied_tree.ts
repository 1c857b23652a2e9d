/** A copy of the program's sources, from which something is missing or different. */
import type { Folder } from "../../harness/folder.ts";

const ROOT = new URL("../../../", import.meta.url);

/**
 * Copies the sources into a folder, without these rooms and without the helpers of tests, as this version. Resolves with
 * the address of the main module.
 */
export async function copyTree(
  folder: Folder,
  { without = [], version }: {
    readonly without?: readonly string[];
    readonly version?: string;
  },
): Promise<string> {
  await copy(new URL("src/", ROOT), folder.at("src"), without);
  await Deno.copyFile(new URL("deno.lock", ROOT), folder.at("deno.lock"));
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const changed = version === undefined ? config : { ...config, version };
  await Deno.writeTextFile(folder.at("deno.json"), JSON.stringify(changed));
  return `file://${folder.at("src/main.ts")}`;
}

async function copy(from: URL, to: string, without: readonly string[]): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory && !without.includes(name) && name !== "testing") {
      await copy(new URL(`${name}/`, from), `${to}/${name}`, without);
    } else if (!isDirectory) await Deno.copyFile(new URL(name, from), `${to}/${name}`);
  }
}
