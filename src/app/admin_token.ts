/** The file with the token of the admin listener. Part of the composition root. */
import { type Clock, realClock } from "../base/clock.ts";
import { inFileTime } from "../base/file_time.ts";
import { quote } from "../config/kinds.ts";
import type { ProcessConfig } from "../config/options.ts";
import { whyUnreadable } from "../config/unreadable.ts";

/** Longest token file, in bytes. */
const TOKEN_BYTES_MAX = 4_096;

/** Returns an error line if the token file cannot be used. */
export async function checkAdminToken(
  { adminTokenFile, origins }: Pick<ProcessConfig, "adminTokenFile" | "origins">,
  clock: Clock = realClock,
): Promise<string | undefined> {
  if (adminTokenFile === undefined) return undefined;
  const read = await readAdminToken(adminTokenFile, clock);
  if ("token" in read) return undefined;
  const { error } = read;
  const from = origins.adminTokenFile;
  return `Cannot use ${quote(adminTokenFile)} as admin_token_file: ${error} (from ${from})`;
}

/** The one word in the file, or why there is none. */
export async function readAdminToken(
  path: string,
  clock: Clock = realClock,
): Promise<{ readonly token: string } | { readonly error: string }> {
  try {
    const { isFile, isDirectory, size } = await inFileTime(Deno.stat(path), clock);
    // Reading from a pipe or a device may never end.
    if (!isFile) return { error: isDirectory ? "it is a directory" : "it is no regular file" };
    if (size > TOKEN_BYTES_MAX) return { error: `it is longer than ${TOKEN_BYTES_MAX} bytes` };
    const token = (await inFileTime(Deno.readTextFile(path), clock)).trim();
    // Characters that a header may have after `Bearer` (RFC 6750 section 2.1 allows fewer).
    return /^[!-~]+$/.test(token) ? { token } : { error: "it does not hold one word" };
  } catch (error) {
    return { error: whyUnreadable(error) };
  }
}
