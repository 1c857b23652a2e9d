/**
 * The faults of the simulated cluster, by seed: at random times, or aimed at a step of the proxy that decides. Each one
 * ends by itself after a while, and all of them when they are healed.
 */
import type { ManualClock } from "../../src/base/clock.ts";
import type { Dice } from "../../src/base/testing/dice.ts";
import type { EtcdModel } from "../../src/cluster/testing/etcd_model.ts";
import type { SimulatedProxy } from "./cluster_proxy.ts";
import type { ClusterServers } from "./cluster_servers.ts";

/** A step of a promotion, at which the proxy that makes it may be hit. */
export type Step = "deciding" | "stored" | "begun" | "ended" | "done" | "opened";

const STEPS: readonly Step[] = ["deciding", "stored", "begun", "ended", "done", "opened"];

/** What the faults hit. */
export interface FaultsSettings {
  readonly world: ManualClock;
  readonly dice: Dice;
  readonly etcd: EtcdModel;
  readonly servers: ClusterServers;
  readonly names: readonly string[];
  proxies(): readonly SimulatedProxy[];
  restart(index: number): void;
  suspended(proxy: SimulatedProxy): void;
  wentOn(proxy: SimulatedProxy): void;
}

/** How long a message to etcd, or back, takes as a rule, in milliseconds. */
const MESSAGE_MS = 5;
/** The longest time until a message arrives that nobody waits for any more, in milliseconds. */
const LATE_MAX_MS = 15_000;

type What = "kill" | "stop" | "suspend" | "cut" | "late" | "blind" | "server";

export class Faults {
  /** What happened, for a person. */
  readonly notes: string[] = [];
  readonly #settings: FaultsSettings;
  /** The ways that are cut now: how often, by name. */
  readonly #cut = new Map<string, number>();
  readonly #ends = new Set<() => void>();
  #aim: { readonly step: Step; readonly what: What } | undefined;

  constructor(settings: FaultsSettings) {
    this.#settings = settings;
  }

  note(what: string): void {
    this.notes.push(`${Math.round(this.#settings.world.now())} ${what}`);
  }

  /** How long a message of etcd takes, in milliseconds; undefined if it is lost. */
  delay(index: number, way: "there" | "back"): number | undefined {
    const { dice } = this.#settings;
    if (this.#cut.size === 0) return MESSAGE_MS * (0.5 + dice.fraction());
    const isLost = this.#isCut(`etcd ${way} *`) || this.#isCut(`etcd ${way} ${index}`) ||
      (this.#isCut(`half ${index}`) && dice.once(2));
    // What was sent may be sent again by the system, and arrive when nobody waits for it any more.
    if (isLost) return way === "there" && dice.once(10) ? dice.fraction() * LATE_MAX_MS : undefined;
    // It arrives when its sender has tried it again.
    if (way === "there" && this.#isCut(`late ${index}`)) return dice.fraction() * LATE_MAX_MS;
    return (this.#isCut(`slow ${index}`) ? 400 : MESSAGE_MS) * (0.5 + dice.fraction());
  }

  /** Whether an upstream can be reached by a proxy. */
  isCutFrom(index: number, upstream: string): boolean {
    return this.#cut.size > 0 && this.#isCut(`${upstream} ${index}`);
  }

  /** Whether nothing disturbs the way of a proxy to etcd. */
  hasEtcd(index: number): boolean {
    if (this.#cut.size === 0) return !this.#settings.etcd.isLeaderless;
    const ways = ["etcd there *", `etcd there ${index}`, `etcd back ${index}`];
    return !this.#settings.etcd.isLeaderless &&
      ![...ways, `half ${index}`, `slow ${index}`, `late ${index}`].some((way) => this.#isCut(way));
  }

  get isSplit(): boolean {
    return this.#isCut("split");
  }

  heal(): void {
    this.#aim = undefined;
    for (const end of this.#ends) end();
  }

  /** One fault at random. */
  happen(): void {
    const { dice, names } = this.#settings;
    const proxies = this.#settings.proxies();
    const index = dice.under(proxies.length);
    const proxy = proxies[index]!;
    const ms = 500 + dice.fraction() * 25_000;
    const upstream = dice.fraction() < 0.6 ? names[0]! : dice.pick(names);
    const roll = dice.fraction();
    if (roll < 0.18) this.#down([upstream], ms);
    else if (roll < 0.2) this.#down(names, ms);
    else if (roll < 0.42) this.#etcdFault(index, ms);
    else if (roll < 0.52) {
      this.#cutUpstreams(dice.once(3) ? names : [upstream], index, ms);
    } else if (roll < 0.58) this.#halves(ms);
    else if (roll < 0.66) this.#stop(proxy, ms);
    else if (roll < 0.69) this.#disturb(proxy, ms);
    else if (roll < 0.75) this.#kill(index, ms);
    else if (roll < 0.8) this.#disturb(proxy, ms);
    else {
      const what = dice.pick<What>([
        ...["kill", "kill", "stop", "stop", "suspend", "cut", "late", "blind", "server"] as const,
      ]);
      this.#aim = { step: dice.pick(STEPS), what };
    }
  }

  /** A proxy has come to this step of a promotion of `upstream`. */
  at(step: Step, proxy: SimulatedProxy, upstream: string): void {
    if (this.#aim?.step !== step || proxy.isDead) return;
    const { what } = this.#aim;
    this.#aim = undefined;
    this.note(`aimed at ${step}:`);
    const index = this.#settings.proxies().indexOf(proxy);
    const ms = 3_000 + this.#settings.dice.fraction() * 25_000;
    if (what === "kill") this.#kill(index, ms);
    else if (what === "stop") this.#stop(proxy, ms);
    else if (what === "suspend") this.#disturb(proxy, ms);
    else if (what === "server") this.#down([upstream], ms);
    else if (what === "blind") this.#cutUpstreams(this.#settings.names, index, ms);
    else if (what === "late") {
      this.#cutWays("finds etcd late", [`late ${index}`], index, ms / 5);
    } else {
      const ways = [`etcd there ${index}`, `etcd back ${index}`];
      this.#cutWays("cannot reach etcd", ways, index, ms);
    }
  }

  // ---- Kinds

  #isCut(way: string): boolean {
    return this.#cut.has(way);
  }

  /** Calls `end` once: after `ms`, or when all faults end. */
  #until(ms: number, end: () => void): void {
    const once = () => {
      if (this.#ends.delete(once)) end();
    };
    this.#ends.add(once);
    this.#settings.world.after(ms, once);
  }

  #cutAll(ways: readonly string[], ms: number): void {
    for (const way of ways) {
      this.#cut.set(way, (this.#cut.get(way) ?? 0) + 1);
      this.#until(ms, () => {
        const left = this.#cut.get(way)! - 1;
        if (left > 0) this.#cut.set(way, left);
        else this.#cut.delete(way);
      });
    }
  }

  #cutWays(what: string, ways: readonly string[], index: number, ms: number): void {
    this.note(`${this.#settings.proxies()[index]!.name} ${what} for ${Math.round(ms)} ms`);
    this.#cutAll(ways, ms);
  }

  #cutUpstreams(names: readonly string[], index: number, ms: number): void {
    this.#cutWays(`cannot reach ${names}`, names.map((name) => `${name} ${index}`), index, ms);
  }

  #etcdFault(index: number, ms: number): void {
    const { dice, etcd } = this.#settings;
    const [there, back] = [`etcd there ${index}`, `etcd back ${index}`];
    switch (dice.under(8)) {
      case 0:
      case 1:
        return this.#cutWays("cannot reach etcd", [there, back], index, ms);
      case 2:
        return this.#cutWays("gets no answer of etcd", [back], index, ms);
      case 3:
        return this.#cutWays("loses what it sends to etcd", [there], index, ms);
      case 4:
        return this.#cutWays("loses half of etcd's messages", [`half ${index}`], index, ms);
      case 5:
        return this.#cutWays("finds etcd slow", [`slow ${index}`], index, ms);
      case 6:
        this.note(`etcd answers nobody for ${Math.round(ms)} ms`);
        return this.#cutAll(["etcd there *"], ms);
    }
    const lostMs = dice.once(2) ? ms : 500 + dice.fraction() * 3_000;
    this.note(`etcd has no leader for ${Math.round(lostMs)} ms`);
    etcd.loseLeader();
    this.#until(lostMs, () => etcd.elect());
  }

  /** Some proxies and one server on one side, and etcd with all else on the other one. */
  #halves(ms: number): void {
    const { dice, names } = this.#settings;
    const proxies = this.#settings.proxies();
    const own = dice.pick(names);
    const [first] = proxies.keys();
    const inside = [...proxies.keys()].filter((index) => index === first || dice.once(2));
    const others = names.filter((name) => name !== own);
    const ways = [...proxies.keys()].flatMap((index) =>
      inside.includes(index)
        ? [`etcd there ${index}`, `etcd back ${index}`, ...others.map((name) => `${name} ${index}`)]
        : [`${own} ${index}`]
    );
    this.note(`a partition: proxies ${inside} with ${own} for ${Math.round(ms)} ms`);
    this.#cutAll([...ways, "split"], ms);
  }

  #down(upstreams: readonly string[], ms: number): void {
    this.note(`${upstreams} down for ${Math.round(ms)} ms`);
    for (const name of upstreams) this.#until(ms, this.#settings.servers.down(name));
  }

  #stop(proxy: SimulatedProxy, ms: number): void {
    if (proxy.isDead || proxy.clock.stands) return;
    this.note(`${proxy.name} is stopped for ${Math.round(ms)} ms`);
    proxy.clock.stop();
    this.#until(ms, () => proxy.clock.goOn());
  }

  /**
   * The machine is suspended, or its clock jumps. Not both in one schedule: a clock that is set back at that time hides
   * how long the machine stood, and then only the fence helps.
   */
  #disturb(proxy: SimulatedProxy, ms: number): void {
    if (this.#settings.dice.seed % 2 === 0) this.#suspend(proxy, ms);
    else this.#jump(proxy);
  }

  #suspend(proxy: SimulatedProxy, ms: number): void {
    if (proxy.isDead || proxy.clock.stands) return;
    this.note(`the machine of ${proxy.name} is suspended for ${Math.round(ms)} ms`);
    proxy.clock.machine.suspend();
    this.#settings.suspended(proxy);
    this.#until(ms, () => {
      proxy.clock.goOn();
      this.#settings.wentOn(proxy);
    });
  }

  #kill(index: number, ms: number): void {
    const proxy = this.#settings.proxies()[index]!;
    if (proxy.isDead) return;
    this.note(`${proxy.name} is killed, and restarted after ${Math.round(ms)} ms`);
    proxy.kill();
    this.#until(ms, () => this.#settings.restart(index));
  }

  #jump(proxy: SimulatedProxy): void {
    const ms = (this.#settings.dice.fraction() - 0.5) * 7_200_000;
    this.note(`the clock of ${proxy.name} jumps by ${Math.round(ms)} ms`);
    proxy.clock.skewMs += ms;
  }
}
