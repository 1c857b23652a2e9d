/** Errors that mean that a resource of this process or machine is exhausted for the moment. */

/**
 * The error codes of fork(2), pipe(2), open(2) and execve(2) for this case. ETXTBSY is one of them: the
 * file is being written, as during a deploy.
 */
const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "EAGAIN", "ENOMEM", "ETXTBSY"]);

/** True if `error`, as Deno throws it, has one of these codes. */
export function isShortage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: string };
  if (code !== undefined) return SHORTAGES.has(code);
  // Deno gives no code to ETXTBSY, only its number, which is the same on Linux, macOS and BSD.
  return error.message.endsWith("(os error 26)");
}
