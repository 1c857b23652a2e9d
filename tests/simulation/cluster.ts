/**
 * Several proxies, a model of etcd and two upstreams in virtual time, with faults at random by seed:
 * partitions between proxies, etcd and upstreams, also one-way; processes that are stopped, go on, are
 * killed and restarted; clocks that jump; etcd that answers nobody; and orders of the operator. What must always be true is checked as
 * it happens, and at the end, when the faults are over, service must come back within a bound.
 */
import { Dice } from "../../src/base/testing/dice.ts";
import { ManualClock } from "../../src/base/clock.ts";
import type { OperatorOrder } from "../../src/failover/orders.ts";
import type { Promotion } from "../../src/failover/ports.ts";
import { POLICY } from "../../src/failover/testing/policy.ts";
import { PASSED, REFUSED, SILENT, upstreamsOf } from "../../src/failover/testing/results.ts";
import type { Policy } from "../../src/failover/state.ts";
import { SimulatedProxy, type Surroundings } from "./cluster_proxy.ts";
import { EtcdModel } from "../../src/cluster/testing/etcd_model.ts";

/** How long faults happen, in milliseconds. */
const FAULTS_MS = 120_000;
/** Mean time between two faults, in milliseconds. */
const MEAN_FAULT_MS = 6_000;
/** Service must be back so long after the last fault has ended, in milliseconds. */
export const BACK_MS = 60_000;
const STEP_MS = 250;

/** One run of triggers. */
interface Run {
  readonly proxy: string;
  readonly epoch: number;
  readonly fence: number | undefined;
  readonly begunAt: number;
  endedAt: number | undefined;
}

/** What is wrong with a schedule; the message says what and when. */
export class Breach extends Error {}

/** One schedule. */
export class SimulatedCluster {
  readonly world = new ManualClock();
  readonly runs: Run[] = [];
  readonly faults: string[] = [];
  readonly #dice: Dice;
  readonly #etcd: EtcdModel;
  readonly #upstreams = upstreamsOf("a", "b");
  readonly #policy: Policy;
  readonly #ttlS = 10;
  readonly #down = new Set<string>();
  /** `from>to` of the ways that are cut. */
  readonly #cut = new Set<string>();
  readonly #isCalm: () => boolean;
  proxies: SimulatedProxy[] = [];
  #lives = 0;
  #breach: Breach | undefined;
  #orders = 0;
  /** Orders to resume that are under way. */
  #resumes = 0;
  /** The newest epoch when an order to pause had succeeded for all; undefined if none stands for certain. */
  #pausedAt: number | undefined;
  #endsAt = FAULTS_MS;

  constructor(readonly seed: number, readonly count = 2 + seed % 3) {
    this.#dice = new Dice(seed);
    const random = () => this.#dice.fraction();
    this.#etcd = new EtcdModel(this.world, random);
    this.#policy = {
      ...POLICY,
      ...{ fall: 2, rise: 1, holdMs: 30_000, maxBackoffMs: 2_000 },
      onTriggerFailure: random() < 0.5 ? "retry" : "continue",
      triggers: random() < 0.8 ? "before" : "beside",
      failback: random() < 0.5 ? { kind: "never" } : { kind: "after", ms: 5_000 },
    } as Policy;
    this.#isCalm = () => this.world.now() >= this.#endsAt;
    for (let index = 0; index < count; index++) this.#start(index);
  }

  /** Runs the schedule; throws a `Breach`. */
  async run(): Promise<void> {
    while (!this.#isCalm()) {
      await this.#advance(-Math.log(1 - this.#dice.fraction()) * MEAN_FAULT_MS);
      this.#fault();
    }
    this.#heal();
    await this.#untilBack();
    // A failback may follow, which must end as well.
    await this.#advance(20_000);
    await this.#untilBack();
    for (const proxy of this.proxies) proxy.kill();
  }

  async #untilBack(): Promise<void> {
    const since = this.world.now();
    while (!this.#isBack()) {
      if (this.world.now() - since > BACK_MS) this.#break("service did not come back");
      this.#release();
      await this.#advance(STEP_MS);
    }
  }

  async #advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      await this.world.advance(Math.min(left, STEP_MS));
    }
    if (this.#breach !== undefined) throw this.#breach;
  }

  #break(what: string): void {
    const at = `at ${Math.round(this.world.now())} ms`;
    this.#breach ??= new Breach(`seed ${this.seed}: ${what} ${at}\n${this.describe()}`);
    if (this.#isCalm()) throw this.#breach;
  }

  /** The faults and runs so far, for a person. */
  describe(): string {
    const runs = this.runs.map(({ proxy, epoch, fence, begunAt, endedAt }) =>
      `  ${Math.round(begunAt)}–${
        Math.round(endedAt ?? NaN)
      } ${proxy} epoch ${epoch} fence ${fence}`
    );
    const proxies = this.proxies.map((proxy) => {
      const { role, leaseLeftMs, reason } = proxy.coordinator.report();
      const { phase, epoch, admission } = proxy.controller.state;
      return `  ${proxy.name} ${role} ${phase.name} ${admission.is} epoch ${epoch} route ${proxy.route} lease ${
        Math.round(leaseLeftMs)
      } ${reason ?? ""}`;
    });
    const decision = this.#etcd.keys.get("decision")?.value;
    return [
      ...["faults:", ...this.faults.map((each) => `  ${each}`)],
      ...["runs:", ...runs, "proxies:", ...proxies, `decision: ${decision}`],
    ].join("\n");
  }

  // ---- Proxies

  #start(index: number): void {
    const name = `p${index}.${++this.#lives}`;
    const { world } = this;
    const around: Surroundings = {
      ...{ world, upstreams: this.#upstreams, policy: this.#policy, ttlS: this.#ttlS },
      random: () => this.#dice.fraction(),
      etcdFor: (proxy) =>
        this.#etcd.client(proxy.clock, { delay: () => this.#delay(index, "etcd") }),
      reaches: (_proxy, upstream) => {
        if (this.#isCut(index, upstream)) return SILENT;
        return this.#down.has(upstream) ? REFUSED : PASSED;
      },
      onTriggers: (proxy, promotion, what) => this.#onTriggers(proxy, promotion, what),
      onOpen: () => {},
    };
    this.proxies[index] = new SimulatedProxy(name, around);
  }

  #delay(index: number, to: string): number | undefined {
    const isSlow = this.#cut.has(`slow ${index}`);
    if (this.#isCut(index, to)) return undefined;
    return (isSlow ? 400 : 5) * (0.5 + this.#dice.fraction());
  }

  /** A one-way cut loses half of the messages: those of one direction. */
  #isCut(index: number, to: string): boolean {
    if (this.#cut.has(`${index}>${to}`) || this.#cut.has(`*>${to}`)) return true;
    return this.#cut.has(`${index}~${to}`) && this.#dice.fraction() < 0.5;
  }

  #onTriggers(
    proxy: SimulatedProxy,
    { epoch, fence, move }: Promotion,
    what: "begin" | "end",
  ): void {
    const now = this.world.now();
    if (what === "end") {
      const run = this.runs.findLast((each) => each.proxy === proxy.name && each.epoch === epoch);
      run!.endedAt = now;
      return;
    }
    if (this.#pausedAt !== undefined && epoch > this.#pausedAt && move !== "switchover") {
      this.#break(`triggers of epoch ${epoch} begin (${move}) although the service is paused`);
    }
    const running = this.runs.find(({ endedAt }) => endedAt === undefined);
    if (running !== undefined) {
      this.#break(`triggers of epoch ${epoch} begin while those of ${running.epoch} run`);
    }
    const same = this.runs.filter((each) => each.epoch === epoch);
    if (same.some((each) => each.proxy !== proxy.name)) {
      this.#break(`the triggers of epoch ${epoch} were begun by two proxies`);
    }
    if (same.length > 0 && this.#policy.onTriggerFailure !== "retry") {
      const isLast = this.runs.at(-1)!.epoch === epoch;
      if (!isLast) this.#break(`the triggers of epoch ${epoch} were begun again`);
    }
    const last = this.runs.at(-1);
    if (fence === undefined) this.#break(`epoch ${epoch} has no fence`);
    else if (last !== undefined && last.epoch !== epoch) {
      if (fence <= last.fence!) this.#break(`fence ${fence} came after ${last.fence}`);
      if (epoch <= last.epoch) this.#break(`epoch ${epoch} came after ${last.epoch}`);
    }
    this.runs.push({ proxy: proxy.name, epoch, fence, begunAt: now, endedAt: undefined });
  }

  /** All proxies send their clients to the same upstream, which works, and it is the decided one. */
  #isBack(): boolean {
    const { value } = this.#etcd.keys.get("decision") ?? {};
    if (value === undefined) return false;
    const { to, phase } = JSON.parse(value);
    return phase === "done" && this.proxies.every(({ route }) => route === to);
  }

  // ---- Faults

  #fault(): void {
    const index = Math.floor(this.#dice.fraction() * this.count);
    const forMs = 500 + this.#dice.fraction() * 25_000;
    const upstream = this.#dice.fraction() < 0.6 ? "a" : "b";
    const proxy = this.proxies[index]!;
    const roll = this.#dice.fraction();
    if (roll < 0.2) this.#for(forMs, `${upstream} is down`, this.#down, upstream);
    else if (roll < 0.35) {
      this.#for(forMs, `${proxy.name} cannot reach etcd`, this.#cut, `${index}>etcd`);
    } else if (roll < 0.42) {
      this.#for(forMs, `half of etcd's messages lost at ${proxy.name}`, this.#cut, `${index}~etcd`);
    } else if (roll < 0.52) {
      this.#for(forMs, `${proxy.name} cannot reach ${upstream}`, this.#cut, `${index}>${upstream}`);
    } else if (roll < 0.58) this.#for(forMs, "etcd answers nobody", this.#cut, "*>etcd");
    else if (roll < 0.64) {
      this.#for(forMs, `etcd is slow for ${proxy.name}`, this.#cut, `slow ${index}`);
    } else if (roll < 0.8) this.#freeze(proxy, forMs);
    else if (roll < 0.88) this.#kill(index, forMs);
    else if (roll < 0.94) this.#jump(proxy);
    else this.#order(proxy, upstream);
  }

  #note(what: string): void {
    this.faults.push(`${Math.round(this.world.now())} ${what}`);
  }

  #for(ms: number, what: string, set: Set<string>, key: string): void {
    if (set.has(key)) return;
    this.#note(`${what} for ${Math.round(ms)} ms`);
    set.add(key);
    this.world.after(ms, () => set.delete(key));
  }

  #freeze(proxy: SimulatedProxy, ms: number): void {
    if (proxy.isDead || proxy.clock.isStopped) return;
    this.#note(`${proxy.name} is stopped for ${Math.round(ms)} ms`);
    proxy.clock.stop();
    this.world.after(ms, () => proxy.clock.goOn());
  }

  #kill(index: number, ms: number): void {
    const proxy = this.proxies[index]!;
    if (proxy.isDead) return;
    this.#note(`${proxy.name} is killed, and restarted after ${Math.round(ms)} ms`);
    proxy.kill();
    this.world.after(ms, () => this.#start(index));
  }

  #jump(proxy: SimulatedProxy): void {
    const ms = (this.#dice.fraction() - 0.5) * 7_200_000;
    this.#note(`the clock of ${proxy.name} jumps by ${Math.round(ms)} ms`);
    proxy.clock.skewMs += ms;
  }

  /** The operator gives one proxy an order, which is for all. */
  #order(proxy: SimulatedProxy, upstream: string): void {
    if (proxy.isDead) return;
    const order = this.#dice.pick<OperatorOrder>([
      { name: "pause" },
      { name: "pause" },
      { name: "resume" },
      { name: "switchover", to: upstream },
      { name: "drain", upstream },
      { name: "undrain", upstream },
    ]);
    this.#note(`${proxy.name} is ordered: ${JSON.stringify(order)}`);
    this.#give(proxy, order);
  }

  #give(proxy: SimulatedProxy, order: OperatorOrder): void {
    if (order.name === "resume") {
      this.#pausedAt = undefined;
      this.#resumes++;
    }
    const number = ++this.#orders;
    proxy.controller.orderForAll(order, { by: "ann", reason: "" }, ({ is }) => {
      // One whose fate is not known may be carried out later.
      if (order.name === "resume" && (is === "finished" || is === "refused")) this.#resumes--;
      if (order.name !== "pause" || is !== "finished") return;
      if (number !== this.#orders || this.#resumes > 0) return;
      this.#pausedAt = Math.max(...this.proxies.map(({ controller: { state } }) => state.epoch));
    });
  }

  /** No order stands any more. */
  #release(): void {
    for (const proxy of this.proxies) {
      if (proxy.isDead || proxy.clock.isStopped) continue;
      const { paused, drained } = proxy.controller.state;
      if (paused !== undefined) this.#give(proxy, { name: "resume" });
      for (const upstream of drained.keys()) this.#give(proxy, { name: "undrain", upstream });
    }
  }

  #heal(): void {
    this.#note("all faults end");
    this.#down.clear();
    this.#cut.clear();
    for (const [index, proxy] of this.proxies.entries()) {
      proxy.clock.goOn();
      if (proxy.isDead) this.#start(index);
    }
  }
}
