/** What faults need of a cluster: its proxies, the ways between all parts, and waiting for a moment. */
import type { Dice } from "../../src/base/testing/dice.ts";
import type { StoredDecision } from "./etcd_history.ts";
import type { End } from "./faults.ts";
import type { TriggerLine } from "./history.ts";
import type { PostgresServers } from "./postgres_servers.ts";
import type { Member, ProxyCluster } from "./proxy_cluster.ts";
import type { Server } from "./servers.ts";
import type { Way } from "./way.ts";

export const PROXIES = 3;
/** How often the state of the cluster is looked at, in milliseconds. */
const LOOK_MS = 20;

export class Scene {
  /** Set if the moment at which a fault aimed did not come. */
  isMissed = false;

  constructor(
    readonly cluster: ProxyCluster,
    readonly dice: Dice,
    /** The servers, if they are of PostgreSQL. */
    readonly postgres: PostgresServers | undefined,
  ) {}

  anyProxy(): Member {
    return this.dice.pick(this.cluster.members);
  }

  /** The proxy that leads, as etcd has it; undefined if that is not known, or it has ended. */
  async leader(): Promise<Member | undefined> {
    const instance = await this.cluster.history.leader().catch(() => undefined);
    if (instance === undefined) return undefined;
    return this.cluster.members.find(({ proxy }) =>
      proxy.events("lead.taken").at(-1)?.instance === instance
    );
  }

  async decision(): Promise<StoredDecision | undefined> {
    return await this.cluster.history.decision().catch(() => undefined);
  }

  /** The moment did not come in time, so that the fault that began is another one. */
  missed(): void {
    this.isMissed = true;
  }

  serverNamed(name: string): Server {
    const { first, second } = this.cluster;
    return name === first.name ? first : second;
  }

  /** Kills a proxy; at the end of the fault another one starts in its place. */
  async killProxy(member: Member): Promise<End | undefined> {
    const number = this.cluster.members.indexOf(member);
    member.proxy.signal("SIGKILL");
    await member.proxy.ended;
    return async () => {
      // Another fault may have replaced it.
      if (this.cluster.members[number] === member) await this.cluster.restart(number);
    };
  }

  /** Looks until `found` gives something, or for `ms`. */
  async until<T>(
    ms: number,
    found: () => Promise<T | undefined> | T | undefined,
  ): Promise<T | undefined> {
    const endsAt = performance.now() + ms;
    for (;;) {
      const value = await found();
      if (value !== undefined && value !== false) return value;
      if (performance.now() > endsAt) return undefined;
      await pause(LOOK_MS);
    }
  }

  /** The first line of a trigger of this kind after the first `seen` ones. */
  async line(what: TriggerLine["what"], seen: number): Promise<TriggerLine | undefined> {
    return (await this.cluster.triggers()).slice(seen).find((line) => line.what === what);
  }

  // ---- Ways

  /** The ways from and to a member of etcd. */
  peerWaysOf(number: number): Way[] {
    return [...this.cluster.peerWays].filter(([name]) => name.split("-").includes(String(number)))
      .map(([, way]) => way);
  }

  cutAll(ways: readonly Way[]): End {
    for (const way of ways) way.cut();
    return () => {
      for (const way of ways) way.heal();
    };
  }

  /**
   * One or two proxies, one member of etcd and one server here, all others there, and nothing passes between the
   * two halves.
   */
  splitInHalves(): End {
    const { cluster, dice, postgres } = this;
    const [member, server] = [dice.under(3), dice.under(2)];
    const offset = dice.under(PROXIES);
    const here = [offset, ...dice.once(2) ? [(offset + 1) % PROXIES] : []];
    const ways = [...this.peerWaysOf(member), ...postgres!.ways];
    for (const [number, { ways: toEtcd, serverWays }] of cluster.members.entries()) {
      const isHere = here.includes(number);
      ways.push(...toEtcd.filter((_, index) => (index === member) !== isHere));
      ways.push(...serverWays.filter((_, index) => (index === server) !== isHere));
    }
    postgres!.isSplit = true;
    const end = this.cutAll(ways);
    return () => {
      postgres!.isSplit = false;
      return end();
    };
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
