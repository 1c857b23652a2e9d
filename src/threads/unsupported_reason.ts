/** Whether this process can have threads that call the kernel directly. */
import { isGranted, kernelUnsupportedReason } from "../linux/unsupported_reason.ts";

/** The reason, for a person, why it cannot; undefined if it can. `script` is the main file of a thread. */
export function threadsUnsupportedReason(script: URL): string | undefined {
  const reason = kernelUnsupportedReason();
  if (reason !== undefined) return reason;
  const isFile = script.protocol === "file:" && !Deno.build.standalone;
  if (isFile && !isGranted({ name: "read", path: script })) {
    return "starting a worker is not permitted (--allow-read)";
  }
}
