/** `failover explain`: joins the options with what the operator's folders of programs hold. */
import type { Config } from "../config/options.ts";
import { explain } from "../explain/explain.ts";
import { explanationJson, explanationText } from "../explain/text.ts";
import { HELD_MS } from "../failover/cluster.ts";
import { findTriggers } from "../hooks/find.ts";
import { type Descriptors, measure } from "../net/descriptors.ts";
import { starterFor } from "./fleet.ts";
import { shareDescriptors } from "./shares.ts";
import { THREAD_DESCRIPTORS, workersOf } from "./threads.ts";

/** All services of a config, explained for a person or as JSON. */
export async function explanationOf(config: Config, json: boolean): Promise<string> {
  const clients = await clientsOf(config);
  const { coordinator, coordinatorLease: leaseMs } = config.process;
  const shared = coordinator === undefined ? undefined : { leaseMs, heldMs: HELD_MS };
  const services = await Promise.all(config.services.map(async (service, place) => {
    const { onFailover } = service;
    const found = onFailover === undefined ? undefined : await findTriggers(onFailover);
    // A file that is missing on this machine may exist on the one that runs the proxy.
    const isUnknown = found !== undefined &&
      (found.programs.length === 0 || found.errors.length > 0);
    const triggers = isUnknown ? 1 : found?.programs.length ?? 0;
    return explain(service, { triggers, clients: clients?.[place], shared });
  }));
  return json ? explanationJson(services) : explanationText(services);
}

/** The most clients of each service, if the proxy may have as many descriptors as this process. */
async function clientsOf(config: Config, descriptors: Descriptors | undefined = measure()) {
  if (descriptors === undefined) return undefined;
  const services = await Promise.all(config.services.map(async (service) => ({
    need: (await starterFor(service, {})).need,
    isExplicit: false,
    publish: () => {},
  })));
  const reserved = workersOf(config) * THREAD_DESCRIPTORS;
  return shareDescriptors(services, reserved, descriptors).clients.map((max) => ({
    max,
    descriptors: descriptors.limit,
  }));
}
