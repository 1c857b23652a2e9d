/**
 * Divides the descriptors of the process among its services, once at the start. Part of the composition
 * root.
 */
import { type ClientTables, newClientTables } from "../net/client_limit.ts";
import type { ServiceConfig } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import {
  ADMIN_MAX,
  type Budget,
  budget,
  CONTROL_MAX,
  type Descriptors,
  measure,
  type Need,
} from "../net/descriptors.ts";

/** The part of one service. */
export interface Share {
  readonly need: Need;
  /** True if the operator set `--max-connections`; a default that does not fit is no fault of theirs. */
  readonly isExplicit: boolean;
  /** Publishes under the service's name. */
  readonly publish: Publish;
}

/** Descriptors that checking one upstream takes: its connection, and the pipes of a check program. */
export function checkDescriptors(checkHost: unknown): number {
  return checkHost === undefined ? 1 : 4;
}

/**
 * How many clients each service, in order, the admin listener and the control socket may have at one time. Publishes one event
 * for each service that gets fewer than it asked for: a warning if the operator set the number, else a piece
 * of information. With `descriptors` undefined (the system cannot be asked) every service gets what it asked
 * for. `reserved` are taken by what all services share.
 */
export function shareDescriptors(
  services: readonly Share[],
  reserved: number,
  descriptors: Descriptors | undefined = measure(),
): Budget {
  if (descriptors === undefined) {
    return {
      clients: services.map(({ need }) => need.asked),
      admin: ADMIN_MAX,
      control: CONTROL_MAX,
    };
  }
  const { limit } = descriptors;
  const open = descriptors.open + reserved;
  const shares = budget(services.map(({ need }) => need), { limit, open });
  for (const [place, { need: { asked }, isExplicit, publish }] of services.entries()) {
    const max = shares.clients[place]!;
    if (max >= asked) continue;
    if (isExplicit) publish({ type: "connections.limited", asked, max, descriptors: limit });
    else publish({ type: "connections.fitted", max, descriptors: limit });
  }
  return shares;
}

/** The tables of a service that runs, with another limit for each client; without one they count on. */
export function changedTables(
  tables: { readonly clientTables?: ClientTables },
  max = Infinity,
): { readonly clientTables?: ClientTables } {
  const { clientTables } = tables;
  return clientTables === undefined ? {} : { clientTables: { ...clientTables, max } };
}

/** Why a limit for each client cannot be set while the service runs; undefined if it can. */
export function whyNotLimited(
  { name, maxConnectionsPerClient: max, origins }: ServiceConfig,
  { clientTables }: { readonly clientTables?: ClientTables },
): string | undefined {
  if (max === undefined || clientTables !== undefined) return undefined;
  return `Cannot set max_connections_per_client of service ${name} to ${max} while it runs: nobody has counted the ` +
    `clients that are connected; that needs a restart (from ${origins.maxConnectionsPerClient})`;
}

/** The tables of `--max-connections-per-client`, if that is set. */
export function clientTablesOf(
  max: number | undefined,
  connectionsMax: number,
  threads: number,
): { readonly clientTables?: ClientTables } {
  if (max === undefined) return {};
  return { clientTables: newClientTables(max, connectionsMax, threads) };
}
