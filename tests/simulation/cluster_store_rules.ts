/**
 * What must always be true of the keys in etcd in the simulated cluster, and of what a proxy does with what it knows of
 * them. The conditions of a transaction make most of it true; each rule here is broken if one of them is missing.
 */
import type { Decision } from "../../src/failover/cluster.ts";
import type { ProbeResult, Promotion } from "../../src/failover/ports.ts";
import type { Policy } from "../../src/failover/state.ts";
import type { SimulatedProxy } from "./cluster_proxy.ts";

/** What the rules look at. */
export interface StoreRulesSettings {
  readonly policy: Policy;
  proxies(): readonly SimulatedProxy[];
  breach(what: string): void;
}

export class StoreRules {
  readonly #settings: StoreRulesSettings;
  #leader: string | undefined;
  #last: Decision | undefined;
  /** By proxy: the decision that it has stored last. */
  readonly #own = new Map<string, Decision>();
  /** By proxy and epoch of its promotion: the newest decision of another proxy that it knew when it began that. */
  readonly #knew = new Map<string, number>();
  /** By proxy and epoch: the decisions that could not be stored. */
  readonly #refused = new Set<string>();
  /** By proxy that is cut off: the server of the decision that it knows, which it has seen as a standby. */
  readonly #outdated = new Map<SimulatedProxy, string>();

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

  /** A proxy has decided for a promotion, which it stores as soon as it can. */
  decides({ name, controller: { state } }: SimulatedProxy, { epoch }: Promotion): void {
    const key = `${name} ${epoch}`;
    // Triggers that failed are repeated.
    if (!this.#knew.has(key)) this.#knew.set(key, state.cluster?.decision?.epoch ?? 0);
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
    const knew = this.#knew.get(`${by} ${epoch}`);
    if (last !== undefined && last.by !== by && knew !== undefined && knew < last.epoch) {
      breach(`${by} stores epoch ${epoch}, which it has decided before it knew ${last.epoch}`);
    }
    this.#last = decision;
    this.#own.set(by, decision);
  }

  /** A decision of a proxy was refused: it was not stored, so that another one may be in force. */
  refused({ name }: SimulatedProxy, epoch: number): void {
    this.#refused.add(`${name} ${epoch}`);
  }

  /**
   * A proxy lets clients through: not under an epoch that was refused, and to the server of the newest decision that it
   * knows. It may not know that its own one was stored. An order that waited behind others may be out of date, if those
   * that hold the clients again follow.
   */
  opened(proxy: SimulatedProxy, upstream: string, epoch: number): void {
    const { name, controller: { state } } = proxy;
    const { breach, policy } = this.#settings;
    if (this.#refused.has(`${name} ${epoch}`)) {
      breach(`${name} lets clients in to ${upstream} under epoch ${epoch}, which was refused`);
    }
    if (state.admission.is !== "open" || state.epoch !== epoch) return;
    const read = state.cluster?.decision;
    const own = this.#own.get(name);
    if (read === undefined || read.to === upstream) return;
    if (own !== undefined && own.epoch >= read.epoch && own.to === upstream) return;
    // With triggers beside the traffic it stays where it is until it is moved.
    const isMoved = read.move === "switchover" || read.move === "failback";
    const isBeside = policy.triggers === "beside" && read.phase === "promoting" && isMoved;
    if (isBeside && read.from === upstream) return;
    breach(`${name} lets clients in to ${upstream}, and epoch ${read.epoch} is for ${read.to}`);
  }

  /** A check of a proxy is answered. */
  learned(proxy: SimulatedProxy, upstream: string, { server }: ProbeResult): void {
    const { role, decision } = proxy.controller.state.cluster ?? {};
    const isDecided = decision?.phase === "done" && decision.to === upstream;
    const isStandby = server?.role === "standby" && server.phase === "running";
    if (role === "cutOff" && isDecided && isStandby) this.#outdated.set(proxy, upstream);
  }

  /** A client of a proxy writes: not to a server that this proxy has seen as a standby since it was cut off. */
  writes(proxy: SimulatedProxy, upstream: string): void {
    const isCutOff = proxy.controller.state.cluster?.role === "cutOff";
    if (!isCutOff || this.#outdated.get(proxy) !== upstream) return;
    this.#settings.breach(`a client of ${proxy.name} is at ${upstream}, which was a standby since`);
  }

  /** To be called again and again. */
  look(): void {
    for (const proxy of this.#outdated.keys()) {
      if (proxy.controller.state.cluster?.role !== "cutOff") this.#outdated.delete(proxy);
    }
  }
}
