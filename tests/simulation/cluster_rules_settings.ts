import type { Policy } from "../../src/failover/state.ts";
import type { SimulatedProxy } from "./cluster_proxy.ts";
import type { ClusterServers } from "./cluster_servers.ts";

/** What the rules look at. */
export interface RulesSettings {
  readonly policy: Policy;
  readonly servers: ClusterServers;
  now(): number;
  proxies(): readonly SimulatedProxy[];
  /** Whether nothing is between this proxy and `what`, `etcd` or an upstream. */
  reaches(proxy: SimulatedProxy, what: string): boolean;
  /** The proxies whose votes or lead are stored, also those that have died or are cut off, until their leases end. */
  stored(): ReadonlySet<string>;
  breach(what: string): void;
}
