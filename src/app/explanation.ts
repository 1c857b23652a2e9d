/** `failover explain`: joins the options with what the operator's folders of programs hold. */
import type { Config } from "../config/options.ts";
import { explain } from "../explain/explain.ts";
import { explanationJson, explanationText } from "../explain/text.ts";
import { findTriggers } from "../hooks/find.ts";

/** All services of a config, explained for a person or as JSON. */
export async function explanationOf(config: Config, json: boolean): Promise<string> {
  const services = await Promise.all(config.services.map(async (service) => {
    const { onFailover } = service;
    const found = onFailover === undefined ? undefined : await findTriggers(onFailover);
    // A file that is missing on this machine may exist on the one that runs the proxy.
    const isUnknown = found !== undefined &&
      (found.programs.length === 0 || found.errors.length > 0);
    return explain(service, { triggers: isUnknown ? 1 : found?.programs.length ?? 0 });
  }));
  return json ? explanationJson(services) : explanationText(services);
}
