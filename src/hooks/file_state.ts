/**
 * Tells whether a program's file changed while the program ran. A shell opens its script only after the
 * kernel has started the shell, and reads it as it goes: if a deploy removes, replaces or rewrites the
 * file in between, the exit code is that of the shell (2, 126 or 127 in most shells) and not an answer
 * of the script.
 */

/** What identifies the contents of one file, as stat(2) reports it; undefined if there is none. */
export type FileState = string | undefined;

/**
 * The present state of the file at `path`; symbolic links are followed. It is read synchronously, as
 * the start of the program is: it takes no descriptor, and no thread of the pool, which slow names or
 * disks may keep busy.
 */
export function fileState(path: string): FileState {
  try {
    const { dev, ino, size, mode, mtime, ctime } = Deno.statSync(path);
    // ctime changes with each rename and chmod too, and mtime can be set to anything. Windows has no
    // ctime; size and mtime must do there.
    return [dev, ino, size, mode, mtime?.getTime(), ctime?.getTime()].join();
  } catch {
    // Gone, or no longer to be reached: either way it is not what it was.
    return undefined;
  }
}

/**
 * What became of the file since `before`, as the end of a sentence for a person; undefined if it is
 * still there and the same.
 */
export function fileChange(path: string, before: FileState): "removed" | "replaced" | undefined {
  const now = fileState(path);
  if (now === undefined) return "removed";
  return now === before ? undefined : "replaced";
}
