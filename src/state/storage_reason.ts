/** Why a file could not be written, for a line of the log. Pure. */

/** The reason behind an error of the file system, in words that say what to do. */
export function storageReason(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotADirectory) return "it is not a folder";
  if (error instanceof Deno.errors.NotFound) return "the folder is gone";
  const text = error instanceof Error ? error.message : String(error);
  if (/os error 28\b/.test(text)) return "no space is left on the device";
  if (/os error 30\b/.test(text)) return "the file system is read-only";
  return text;
}
