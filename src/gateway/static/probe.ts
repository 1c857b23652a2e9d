/** The check of a backup that needs no server. */
import type { Clock } from "../../base/clock.ts";
import type { Probe, ProbeResult } from "../../failover/ports.ts";

/** The health check of a backup without a server: whether its folder or page exists. */
export function staticProbe(kind: "folder" | "page", path: string, clock: Clock): Probe {
  return async () => {
    const began = clock.now();
    const info = await Deno.stat(path).catch((error: unknown) => error);
    const tookMs = clock.now() - began;
    const failed = (reason: string): ProbeResult => ({
      passed: false,
      tookMs,
      reason,
      evidence: "refused",
    });
    if (info instanceof Error) return failed(`cannot read ${path}: ${info.name}`);
    const { isDirectory, isFile } = info as Deno.FileInfo;
    if (kind === "folder" && !isDirectory) return failed(`${path} is not a folder`);
    if (kind === "page" && !isFile) return failed(`${path} is not a file`);
    return { passed: true, tookMs, reason: `${kind} is there`, evidence: "passed" };
  };
}
