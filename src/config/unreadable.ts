/** Explains in an error line why a path of an option cannot be used. */

/** The reason behind an error thrown by `Deno.stat`, `Deno.readFile` and similar functions. */
export function whyUnreadable(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  // A component of the path that should be a folder is a file.
  if (error instanceof Deno.errors.NotADirectory) return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  // The name of the call and the path, which Deno adds, say nothing more to the reader of the line.
  return error instanceof Error ? error.message.replace(/: \w+ '[^]*'$/, "") : String(error);
}
