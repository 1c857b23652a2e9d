/**
 * Which proxies of the simulated cluster cannot know that another server was decided: they have not reached etcd since,
 * and no check has shown them the server of the decision that they know as a standby. If that server is promoted again,
 * and the promotion is given up, then it has acknowledged what their clients wrote, and nothing but a fence helps.
 */
import type { SimulatedProxy } from "./cluster_proxy.ts";

/** A proxy that reaches etcd again has read it after so long, in milliseconds. */
const READ_MS = 5_000;

/** What it looks at. */
export interface UnawareSettings {
  now(): number;
  proxies(): readonly SimulatedProxy[];
  /** Whether nothing is between this proxy and etcd. */
  hasEtcd(proxy: SimulatedProxy): boolean;
  /** The server that was decided, while no promotion is under way. */
  decided(): string | undefined;
}

export class Unaware {
  readonly #settings: UnawareSettings;
  /** Since when nothing has come between a proxy and etcd. */
  readonly #connectedSince = new Map<SimulatedProxy, number>();
  /** By proxy: the servers that it has seen as standbys since it was cut off, or has read a decision. */
  readonly #standbys = new Map<SimulatedProxy, Set<string>>();
  /** By proxy: the decision that it has read last. */
  readonly #read = new Map<SimulatedProxy, string>();

  constructor(settings: UnawareSettings) {
    this.#settings = settings;
  }

  /** To be called again and again. */
  look(): void {
    const { now, proxies, hasEtcd } = this.#settings;
    for (const proxy of proxies()) {
      const isCut = proxy.isDead || proxy.clock.stands || !hasEtcd(proxy);
      if (isCut || !this.#connectedSince.has(proxy)) this.#connectedSince.set(proxy, now());
      const { epoch, phase } = proxy.controller.state.cluster?.decision ?? {};
      const read = `${epoch} ${phase}`;
      if (!this.#isCut(proxy) || read !== this.#read.get(proxy)) this.#standbys.delete(proxy);
      this.#read.set(proxy, read);
    }
  }

  /** A check of this proxy has reached a standby. */
  saw(proxy: SimulatedProxy, standby: string): void {
    this.#standbys.set(proxy, (this.#standbys.get(proxy) ?? new Set()).add(standby));
  }

  /** Whether a client of this proxy may write to `upstream` by a decision that is not in force any more. */
  isUnaware(proxy: SimulatedProxy, upstream: string): boolean {
    if (this.#settings.decided() === upstream) return false;
    return this.#isCut(proxy) && this.#standbys.get(proxy)?.has(upstream) !== true;
  }

  #isCut(proxy: SimulatedProxy): boolean {
    const { now } = this.#settings;
    return now() - (this.#connectedSince.get(proxy) ?? now()) < READ_MS;
  }
}
