/** Why a service that runs cannot get other options at this moment. Part of the composition root. */
import { type HttpConfig, type ServiceConfig, yamlKeyOf } from "../config/options.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { ClientTables } from "../net/client_limit.ts";
import type { ControlPlane } from "./control_plane.ts";
import { whyNotLimited } from "./shares.ts";
import { socketsUnsupportedReason } from "./transport.ts";

/** One error line for each reason; none if the change is possible. `tables` are those of the limit for each client. */
export function refusalsOf(
  control: Pick<ControlPlane, "whyNotReconfigured">,
  config: ServiceConfig,
  tables: { readonly clientTables?: ClientTables },
  upstreams: readonly Upstream[],
): string[] {
  const reason = control.whyNotReconfigured(upstreams);
  return [
    reason === undefined ? undefined : `Cannot change service ${config.name} now: ${reason}`,
    whyNotLimited(config, tables),
  ].filter((line) => line !== undefined);
}

/** The options that say what a service speaks to clients and upstreams. */
const SPOKEN = ["primary", "backup", "tlsCert", "tlsKey"] as const;

/** Why a service in threads would need other sockets. */
export async function socketRefusals(
  before: HttpConfig,
  after: HttpConfig,
  knownReason?: string,
): Promise<string[]> {
  const reason = knownReason ?? await socketsUnsupportedReason(after);
  return reason === undefined ? [] : [spokenLine(before, after, reason)];
}

/** Why a port cannot begin or end to speak HTTPS. */
export function portRefusals(before: HttpConfig, after: HttpConfig): string[] {
  const isSame = (before.tlsCert === undefined) === (after.tlsCert === undefined);
  return isSame ? [] : [spokenLine(before, after, "it is what clients of the open port speak")];
}

function spokenLine(before: HttpConfig, after: HttpConfig, reason: string): string {
  const changed = SPOKEN.filter((key) =>
    JSON.stringify(before[key]) !== JSON.stringify(after[key])
  );
  const origins = changed.map((key) => after.origins[key]).filter((each) => each !== undefined);
  const source = origins.length === 0 ? "" : ` (from ${[...new Set(origins)].join(", ")})`;
  return `Cannot change ${
    changed.map(yamlKeyOf).join(" and ")
  } of service ${after.name} while it runs: ${reason}; ` +
    `that needs a restart${source}`;
}
