/**
 * What must always be true of the keys in etcd in the simulated cluster, and of what a proxy does with what it knows of
 * them. The conditions of a transaction make most of it true; each rule here is broken if one of them is missing.
 */
import type { Decision } from "../../src/failover/cluster.ts";
import type { SimulatedProxy } from "./cluster_proxy.ts";

/** What the rules look at. */
export interface StoreRulesSettings {
  proxies(): readonly SimulatedProxy[];
  breach(what: string): void;
}

export class StoreRules {
  readonly #settings: StoreRulesSettings;
  #leader: string | undefined;
  #last: Decision | undefined;
  /** By proxy: the decision that it has stored last. */
  readonly #own = new Map<string, Decision>();

  constructor(settings: StoreRulesSettings) {
    this.#settings = settings;
  }

  /** The key of the lead has changed; undefined: it was removed. */
  leads(instance: string | undefined): void {
    const before = this.#leader;
    this.#leader = instance;
    if (before !== undefined && instance !== undefined && before !== instance) {
      this.#settings.breach(`${instance} takes the lead, which ${before} has not given up`);
    }
  }

  /** A decision was stored: by the proxy that leads, and over the one that it knew. */
  decided(decision: Decision): void {
    const { proxies, breach } = this.#settings;
    const { epoch, by } = decision;
    if (this.#leader !== by) {
      breach(`${by} stores epoch ${epoch}, while ${this.#leader ?? "no proxy"} leads`);
    }
    const last = this.#last;
    const proxy = proxies().find(({ name }) => name === by);
    const known = proxy?.coordinator.report().decision;
    const isKnown = last === undefined || last.by === by || proxy === undefined ||
      (known?.epoch === last.epoch && known.phase === last.phase);
    if (!isKnown) breach(`${by} stores epoch ${epoch}, and has not read ${last.epoch}`);
    this.#last = decision;
    this.#own.set(by, decision);
  }

  /**
   * A proxy lets clients through: to the server of the newest decision that it knows. It may not know that its own one
   * was stored.
   */
  opened({ name, coordinator }: SimulatedProxy, upstream: string): void {
    const read = coordinator.report().decision;
    const own = this.#own.get(name);
    if (read === undefined || read.to === upstream) return;
    if (own !== undefined && own.epoch >= read.epoch && own.to === upstream) return;
    const { epoch, to } = read;
    this.#settings.breach(
      `${name} lets clients in to ${upstream}, and epoch ${epoch} is for ${to}`,
    );
  }
}
