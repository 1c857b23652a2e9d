/** The databases of a service that asks them: their checks and their promotion. Part of the composition root. */
import type { TcpConfig } from "../config/options.ts";
import type { Probe } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { PromotionFirst } from "../health/promotion.ts";
import type { ControlPlaneParts } from "./control_plane.ts";
import type { DatabaseCheckSettings } from "./server_checks.ts";
import type { ServiceContext } from "./service.ts";

/** How the databases of a service are asked and promoted. */
export interface Databases extends AsyncDisposable {
  readonly probe: Probe;
  /** As `ServerProbe.promote`, for the upstream of this name. */
  readonly promote: (upstream: string, signal: AbortSignal) => Promise<void>;
  /** Ends the connections to upstreams that are no longer listed. */
  readonly keepOnly: (upstreams: readonly Upstream[]) => Promise<void>;
}

/** What they need beside the options. `upstreams` returns those that are listed now. */
export type DatabaseNeeds = DatabaseCheckSettings & {
  readonly upstreams: () => readonly Upstream[];
};

/** The databases of a service; undefined if its check asks none. Their code is loaded only if it does. */
export async function databasesOf(
  config: TcpConfig,
  { upstreams, ...settings }: DatabaseNeeds,
): Promise<Databases | undefined> {
  if (config.check === "tcp") return undefined;
  const { serverCheckOf } = await import("./server_checks.ts");
  const check = serverCheckOf(config, settings);
  return {
    probe: check.probe,
    promote: (name, signal) =>
      check.promote(upstreams().find((upstream) => upstream.name === name)!, signal),
    keepOnly: (listed) => check.keepOnly(listed),
    [Symbol.asyncDispose]: () => check[Symbol.asyncDispose](),
  };
}

/** Promotes the server, and then runs the operator's triggers. */
export function promotionBy(
  { promote }: Databases,
  { promoteTimeout: timeoutMs }: TcpConfig,
  { clock, publish }: Pick<ServiceContext, "clock" | "publish">,
): NonNullable<ControlPlaneParts["promote"]> {
  return (triggers, leftMs) =>
    new PromotionFirst({ promote, timeoutMs, clock, publish, leftMs }, triggers);
}
