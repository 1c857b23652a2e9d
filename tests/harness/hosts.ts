/**
 * The command that starts a process with an /etc/hosts of its own, in a separate mount namespace. So each of several
 * processes can reach the same name at another address. Needs root on Linux.
 */
import type { Folder } from "./folder.ts";
import { mayServeNames, NEEDS_FOR_NAMES } from "./name_server.ts";

/** What a test with such processes needs, for `testWithPrograms`. */
export const NEEDS_FOR_HOSTS: readonly string[] = [
  ...NEEDS_FOR_NAMES,
  ...mayServeNames() ? [] : ["the right to mount"],
];

/** Writes the file `name` in `folder` with these names and addresses; resolves with the command. */
export async function underHosts(
  folder: Folder,
  name: string,
  addresses: Readonly<Record<string, string>>,
): Promise<string[]> {
  const lines = Object.entries({ localhost: "127.0.0.1", ...addresses })
    .map(([host, address]) => `${address} ${host}\n`);
  const file = await folder.write(name, lines.join(""));
  const mount = `mount --bind '${file}' /etc/hosts && exec "$@"`;
  return ["unshare", "-m", "sh", "-c", mount, "sh"];
}
