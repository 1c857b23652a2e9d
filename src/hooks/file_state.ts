/**
 * Tells whether a program's file changed while the program ran. A shell opens its script only after the
 * kernel has started the shell, and reads it as it goes: if a deploy removes, replaces or rewrites the
 * file in between, the exit code is that of the shell (2, 126 or 127 in most shells) and not an answer
 * of the script.
 */

/** The fields of stat(2) that change with a file, as one text; undefined if there is no file. */
export type FileState = string | undefined;

/**
 * The present state of the file at `path`; symbolic links are followed. The call is synchronous, as the
 * start of a program is. It needs no descriptor and no thread of Deno's pool, whose threads may all wait
 * for a name service or a disk.
 */
export function fileState(path: string): FileState {
  try {
    const { dev, ino, size, mode, mtime, ctime } = Deno.statSync(path);
    // A rename or chmod changes ctime, which no program can set, unlike mtime. Windows has no ctime, so
    // only size and mtime count there.
    return [dev, ino, size, mode, mtime?.getTime(), ctime?.getTime()].join();
  } catch {
    // It does not exist, or its path can no longer be followed.
    return undefined;
  }
}

/** How the file at `path` has changed since `before`; undefined if it has not. */
export function fileChange(path: string, before: FileState): "removed" | "replaced" | undefined {
  const now = fileState(path);
  if (now === undefined) return "removed";
  return now === before ? undefined : "replaced";
}
