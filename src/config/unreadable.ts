/** Why a path that the operator named cannot be used, for a line about it. */

/** The reason in what `Deno.stat`, `Deno.readFile` and the like throw. */
export function whyUnreadable(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  // A part of the path that should be a folder is a file.
  if (error instanceof Deno.errors.NotADirectory) return "there is no such file";
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  return error instanceof Error ? error.message : String(error);
}
