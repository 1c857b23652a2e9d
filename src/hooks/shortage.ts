/** Whether an error says that something is short here, which may be there again in a moment. */

/**
 * What fork(2), pipe(2), open(2) and execve(2) say then. With them ETXTBSY: the file is just being
 * written, as in the midst of a deploy.
 */
const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "EAGAIN", "ENOMEM", "ETXTBSY"]);

export function isShortage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: string };
  if (code !== undefined) return SHORTAGES.has(code);
  // Deno gives no code to ETXTBSY, only its number, which is the same on Linux, macOS and BSD.
  return error.message.endsWith("(os error 26)");
}
