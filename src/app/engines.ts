/**
 * Checks, before anything starts, whether the relay engines that options demand (`--relay splice`) can run
 * here. Loads the code of an engine only if it is demanded. Part of the composition root.
 */
import type { Config, ServiceConfig } from "../config/options.ts";

/** One error line for each service whose demanded engine cannot run. */
export async function unusableEngines(config: Config): Promise<string[]> {
  const lines: string[] = [];
  for (const service of config.services) {
    const error = await tlsErrorOf(service);
    if (error !== undefined) lines.push(error);
    if (service.relay !== "splice") continue;
    const unsupportedReason = await unsupportedReasonOf(service);
    if (unsupportedReason === undefined) continue;
    lines.push(
      `Cannot use the relay engine splice: ${unsupportedReason} (from ${service.origins.relay})`,
    );
  }
  // Services that share the option and the reason give one line.
  return [...new Set(lines)];
}

/** The error line for an option of TLS that cannot be had here. */
async function tlsErrorOf(service: ServiceConfig): Promise<string | undefined> {
  if (service.mode !== "http") return undefined;
  const { tlsCert, clientCa, upstreamCert } = service;
  const asksMuch = (tlsCert?.length ?? 0) > 1 || clientCa !== undefined ||
    upstreamCert !== undefined;
  return asksMuch ? await (await import("./transport.ts")).tlsOptionError(service) : undefined;
}

async function unsupportedReasonOf(service: ServiceConfig): Promise<string | undefined> {
  if (service.mode === "http") {
    return await (await import("./transport.ts")).socketsUnsupportedReason(service);
  }
  return (await import("./threads.ts")).unsupportedReason();
}
