/**
 * Whether the relay engines that the operator insists on can run here, before anything starts. Part of the
 * composition root; loads the code of an engine only where somebody insists on it.
 */
import type { Config, ServiceConfig } from "../config/options.ts";

/** A line for each service whose engine cannot run. */
export async function unusableEngines(config: Config): Promise<string[]> {
  const lines: string[] = [];
  for (const service of config.services) {
    if (service.relay !== "splice") continue;
    const unsupportedReason = await obstacleOf(service);
    if (unsupportedReason === undefined) continue;
    lines.push(
      `Cannot use the relay engine splice: ${unsupportedReason} (from ${service.origins.relay})`,
    );
  }
  // Services that share the option and the unsupportedReason are told of once.
  return [...new Set(lines)];
}

async function obstacleOf(service: ServiceConfig): Promise<string | undefined> {
  if (service.mode === "http") {
    return (await import("./transport.ts")).socketsObstacle(service);
  }
  return (await import("../relay/splice/splice.ts")).unsupportedReason();
}
