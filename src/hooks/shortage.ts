/** Errors that mean that a resource of this process or machine is exhausted for the moment. */
import { errorCode, isShortageCode } from "../base/errno.ts";

/** True if `error`, as Deno throws it when it opens a file or starts a program, means that. */
export function isProgramShortage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = errorCode(error);
  if (code !== undefined) return isShortageCode("program", code);
  // Deno gives no code to ETXTBSY, only its number, which is the same on Linux, macOS and BSD.
  return error.message.endsWith("(os error 26)");
}
