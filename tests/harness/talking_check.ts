/** A check program that needs an answer, which neither a process that stands still nor one that resets gives. */
import type { Folder } from "./folder.ts";

/** What a test needs that uses it: connections of the shell itself, as another runtime takes long to start. */
export const NEEDS_FOR_TALKING = ["bash"];

/** Writes the program; resolves with its path. It waits for the answer for as long as the proxy lets it. */
export async function checkThatTalks(folder: Folder): Promise<string> {
  const talk = 'exec 3<>"/dev/tcp/${1%:*}/${1##*:}" && echo who >&3 && read -r answer <&3';
  return await folder.script("check.sh", `exec bash -c '${talk}' bash "$1"`);
}
