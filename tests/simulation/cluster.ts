/**
 * Several proxies, a model of etcd and a few upstreams in virtual time, with faults at random by seed
 * (`cluster_faults.ts`), and orders of the operator. What must always be true (`cluster_rules.ts`) is checked as it
 * happens. At the end, when the faults are over, service must come back within a bound, with all that was acknowledged.
 */
import { Dice } from "../../src/base/testing/dice.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { EtcdModel } from "../../src/cluster/testing/etcd_model.ts";
import type { Memory } from "../../src/failover/memory.ts";
import type { OperatorOrder } from "../../src/failover/orders.ts";
import type { RolePolicy } from "../../src/failover/roles.ts";
import type { Policy } from "../../src/failover/state.ts";
import { POLICY } from "../../src/failover/testing/policy.ts";
import { SILENT, upstreamsOf } from "../../src/failover/testing/results.ts";
import { PromotionRefused } from "../../src/health/server_probe.ts";
import { Faults } from "./cluster_faults.ts";
import { SimulatedProxy, type Surroundings } from "./cluster_proxy.ts";
import { OrderRules } from "./cluster_order_rules.ts";
import { Rules } from "./cluster_rules.ts";
import { StoreRules } from "./cluster_store_rules.ts";
import { ClusterServers } from "./cluster_servers.ts";
import { Unaware } from "./cluster_unaware.ts";

/** How long faults happen, in milliseconds. */
const FAULTS_MS = 120_000;
/** Mean time between two faults, in milliseconds. */
const MEAN_FAULT_MS = 6_000;
/** Service must be back so long after the last fault has ended, in milliseconds. */
export const BACK_MS = 60_000;
const STEP_MS = 250;
const TTL_S = 10;

/** What is wrong with a schedule; the message says what and when. */
export class Breach extends Error {}

/** One schedule. */
export class SimulatedCluster {
  readonly world = new ManualClock();
  readonly rules: Rules;
  readonly faults: Faults;
  readonly servers: ClusterServers;
  readonly #unaware: Unaware;
  readonly #orderRules: OrderRules;
  readonly #storeRules: StoreRules;
  readonly policy: Policy;
  readonly #dice: Dice;
  readonly #etcd: EtcdModel;
  readonly #upstreams;
  /** By place of the proxy: what it remembers over restarts. */
  readonly #memories: (Memory | undefined)[] = [];
  readonly #hasMemory: boolean;
  proxies: SimulatedProxy[] = [];
  #lives = 0;
  #breach: Breach | undefined;
  #isCalm = false;

  constructor(readonly seed: number, readonly count = 2 + seed % 3) {
    const dice = this.#dice = new Dice(seed);
    const { world } = this;
    const random = () => dice.fraction();
    this.policy = policyBy(dice);
    this.#hasMemory = dice.once(2);
    const names = ["a", "b", "c"].slice(0, dice.once(3) ? 3 : 2);
    this.#upstreams = upstreamsOf(...names);
    this.#etcd = new EtcdModel(world, random);
    this.servers = new ClusterServers(names, {
      ...{ world, random, hasRoles: this.policy.roles !== undefined },
      isSplit: () => this.faults.isSplit,
      onDown: (name) => this.proxies.forEach((proxy) => proxy.lose(name)),
      decided: () => this.#decided(),
    });
    const proxies = () => this.proxies;
    this.#unaware = new Unaware({
      ...{ proxies, now: () => world.now(), decided: () => this.#decided() },
      hasEtcd: (proxy) => this.faults.hasEtcd(this.proxies.indexOf(proxy)),
    });
    const breach = (what: string) => this.#break(what);
    this.#orderRules = new OrderRules({ proxies, breach });
    this.rules = new Rules({
      ...{ policy: this.policy, servers: this.servers, proxies, now: () => world.now() },
      reaches: (proxy, what) => {
        const index = this.proxies.indexOf(proxy);
        return what === "etcd" ? this.faults.hasEtcd(index) : !this.faults.isCutFrom(index, what);
      },
      stored: () => this.#etcd.instances(),
      breach,
    }, this.#orderRules);
    this.#storeRules = new StoreRules({ policy: this.policy, proxies, breach });
    this.faults = new Faults({
      ...{ world, dice, etcd: this.#etcd, servers: this.servers, names, proxies },
      restart: (index) => this.#start(index),
      suspended: (proxy) => this.rules.suspended(proxy),
      wentOn: (proxy) => this.rules.wentOn(proxy),
    });
    this.#etcd.onChange = (key, value, revision) => {
      if (key === "leader") this.#storeRules.leads(value);
      if (key === "decision" && value !== undefined) this.#stored(value, revision);
    };
    for (let index = 0; index < count; index++) this.#start(index);
  }

  /** Runs the schedule; throws a `Breach`. */
  async run(): Promise<void> {
    while (this.world.now() < FAULTS_MS) {
      await this.#advance(-Math.log(1 - this.#dice.fraction()) * MEAN_FAULT_MS);
      if (this.#dice.once(12)) this.#order();
      else this.faults.happen();
    }
    this.faults.note("all faults end");
    this.faults.heal();
    this.#isCalm = true;
    await this.#untilBack();
    // A failback may follow, which must end as well.
    await this.#advance(20_000);
    await this.#untilBack();
    this.#atEnd();
    for (const proxy of this.proxies) proxy.kill();
  }

  #decided(): string | undefined {
    const { phase, to } = this.rules.decisions.at(-1)?.decision ?? {};
    return phase === "done" ? to : undefined;
  }

  async #untilBack(): Promise<void> {
    let since = this.world.now();
    let isChosen = false;
    while (!this.#isBack()) {
      if (this.world.now() - since > BACK_MS) {
        if (isChosen || !this.#isAmbiguous()) this.#break("service did not come back");
        this.#choose();
        isChosen = true;
        since = this.world.now();
      }
      this.#release();
      await this.#advance(STEP_MS);
    }
  }

  async #advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= STEP_MS) {
      await this.world.advance(Math.min(left, STEP_MS));
      this.rules.look();
      this.#unaware.look();
      this.#storeRules.look();
      if (this.#breach !== undefined) throw this.#breach;
    }
  }

  #break(what: string): void {
    const at = `at ${Math.round(this.world.now())} ms`;
    this.#breach ??= new Breach(`seed ${this.seed}: ${what} ${at}\n${this.describe()}`);
    if (this.#isCalm) throw this.#breach;
  }

  /** The faults, decisions and runs so far, for a person. */
  describe(): string {
    const { roles, triggers, onTriggerFailure, failback } = this.policy;
    const runs = this.rules.runs.map(({ proxy, epoch, fence, begunAt, endedAt }) =>
      `  ${Math.round(begunAt)}–${
        Math.round(endedAt ?? NaN)
      } ${proxy.name} epoch ${epoch} fence ${fence}`
    );
    const decisions = this.rules.decisions.map(({ at, decision }) =>
      `  ${Math.round(at)} ${JSON.stringify(decision)}`
    );
    const proxies = this.proxies.map((proxy) => {
      const { role, leaseLeftMs, reason } = proxy.coordinator.report();
      const { phase, epoch, admission } = proxy.controller.state;
      return `  ${proxy.name} ${role} ${phase.name} ${admission.is} epoch ${epoch} route ${proxy.route} lease ${
        Math.round(leaseLeftMs)
      } ${reason ?? ""}`;
    });
    const servers = this.servers.all.map((each) =>
      `  ${each.name} ${each.role} term ${each.term} faults ${each.faults} of ${each.source} waits for ${[
        ...each.waitsFor,
      ]}`
    );
    return [
      JSON.stringify({ roles, triggers, onTriggerFailure, failback, memory: this.#hasMemory }),
      ...["faults:", ...this.faults.notes.map((each) => `  ${each}`)],
      ...["runs:", ...runs, "decisions:", ...decisions, "proxies:", ...proxies],
      ...["servers:", ...servers],
    ].join("\n");
  }

  // ---- Proxies

  #start(index: number): void {
    const name = `p${index}.${++this.#lives}`;
    const { world, servers, faults, rules } = this;
    const around: Surroundings = {
      ...{ world, upstreams: this.#upstreams, policy: this.policy, ttlS: TTL_S },
      random: () => this.#dice.fraction(),
      memory: this.#hasMemory
        ? {
          remembered: this.#memories[index],
          keep: (memory) => this.#memories[index] = memory,
          kept: () => Promise.resolve(),
        }
        : undefined,
      etcdFor: ({ clock }) =>
        this.#etcd.client(clock, { delay: (way) => faults.delay(index, way) }),
      ask: (proxy, upstream) => {
        if (faults.isCutFrom(index, upstream)) return SILENT;
        const answer = servers.ask(upstream);
        if (answer.server?.role === "standby") this.#unaware.saw(proxy, upstream);
        return answer;
      },
      write: (proxy, upstream) => {
        if (faults.isCutFrom(index, upstream)) return false;
        if (servers.answers(upstream)) {
          rules.answered(proxy, upstream);
          this.#storeRules.writes(proxy, upstream);
        }
        return servers.write(upstream, !this.#unaware.isUnaware(proxy, upstream));
      },
      promote: (proxy, { to }) => this.#promote(index, proxy, to),
      act: (proxy, promotion) => this.#act(index, proxy, promotion),
      onTriggers: (proxy, promotion, what) => {
        rules.triggers(proxy, promotion, what);
        faults.at(what === "begin" ? "begun" : "ended", proxy, promotion.to);
      },
      onRefused: (proxy, epoch) => this.#storeRules.refused(proxy, epoch),
      onOpen: (proxy, upstream, epoch) => {
        this.#storeRules.opened(proxy, upstream, epoch);
        faults.at("opened", proxy, upstream);
      },
      onEvent: (proxy, event) => {
        if (event.type === "promotion.started") faults.at("deciding", proxy, event.to);
      },
      onDecide: (proxy, promotion) => {
        rules.decides(proxy, promotion);
        this.#storeRules.decides(proxy, promotion);
      },
      learned: (proxy, upstream, result) => {
        this.#storeRules.learned(proxy, upstream, result);
      },
      onOrder: (_proxy, _order, { by }) => this.#orderRules.executes(by),
    };
    this.proxies[index] = new SimulatedProxy(name, around);
  }

  #stored(value: string, revision: number): void {
    const decision = JSON.parse(value);
    this.rules.decided(decision, revision);
    this.#storeRules.decided(decision);
    const proxy = this.proxies.find(({ name }) => name === decision.by);
    const step = decision.phase === "done" ? "done" : "stored";
    if (proxy !== undefined) this.faults.at(step, proxy, decision.to);
  }

  /** What a trigger does to its server, if that has a role and the trigger is to promote it. */
  #act(
    index: number,
    _proxy: SimulatedProxy,
    { to, move, fence }: { to: string; move: string; fence?: number },
  ): boolean {
    if (this.policy.roles?.promotedBy !== "trigger" || move === "start") return true;
    return !this.faults.isCutFrom(index, to) && this.servers.promote(to, fence);
  }

  /**
   * An order to make a server the primary. It may be refused, its answer may be lost, and it may arrive when nobody waits
   * for it any more.
   */
  #promote(index: number, { clock }: SimulatedProxy, to: string): Promise<void> {
    const { world, servers } = this;
    const dice = this.#dice;
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => void clock.after(0, () => reject(error));
      const isCut = this.faults.isCutFrom(index, to);
      if (!isCut && !servers.isAlive(to)) return fail(new PromotionRefused("connection refused"));
      if (isCut && !dice.once(3)) return;
      world.after(dice.fraction() * (isCut ? 10_000 : 30), () => {
        if (!servers.answers(to)) return fail(new Error("connection lost"));
        if (dice.once(10)) return fail(new PromotionRefused("permission denied"));
        world.after(dice.fraction() * 1_500, () => {
          const isDone = servers.promote(to, undefined);
          if (!isDone || isCut || dice.once(10)) fail(new Error("connection lost"));
          else clock.after(0, resolve);
        });
      });
    });
  }

  // ---- The end

  /** All proxies send their clients to the same upstream, which works, and it is the decided one. */
  #isBack(): boolean {
    const { phase, to } = this.rules.decisions.at(-1)?.decision ?? {};
    if (phase !== "done" || to === undefined || !this.servers.write(to)) return false;
    return this.proxies.every(({ route }) => route === to);
  }

  /** Nobody has served yet, and several servers take writes: only a person can say which one is right. */
  #isAmbiguous(): boolean {
    const primaries = this.servers.all.filter(({ name }) => this.servers.isPrimary(name));
    const isServed = this.rules.decisions.some(({ decision }) => decision.phase === "done");
    return this.policy.roles !== undefined && !isServed && primaries.length > 1;
  }

  #choose(): void {
    const { to } = this.rules.decisions.at(-1)!.decision;
    this.faults.note(`${this.proxies[0]!.name} is ordered to choose ${to}`);
    this.#give(this.proxies[0]!, { name: "switchover", to });
  }

  #atEnd(): void {
    const { to } = this.rules.decisions.at(-1)!.decision;
    if (this.policy.roles !== undefined) {
      const lost = this.servers.lostAt(to);
      if (lost.length > 0) {
        this.#break(`${lost.length} acknowledged writes are lost, such as ${lost[0]}`);
      }
    }
    const unanswered = this.#orderRules.unanswered();
    if (unanswered.length > 0) this.#break(`orders ${unanswered} were never answered`);
  }

  // ---- Orders

  /** The operator gives one proxy an order, which is for all. */
  #order(): void {
    const proxy = this.#dice.pick(this.proxies);
    const upstream = this.#dice.pick(this.#upstreams).name;
    if (proxy.isDead || proxy.clock.stands) return;
    const order = this.#dice.pick<OperatorOrder>([
      ...[{ name: "pause" }, { name: "pause" }, { name: "resume" }] as const,
      ...[{ name: "switchover", to: upstream }, { name: "switchover", to: upstream }] as const,
      ...[{ name: "drain", upstream }, { name: "undrain", upstream }] as const,
      { name: "failback" },
    ]);
    this.faults.note(`${proxy.name} is ordered: ${JSON.stringify(order)}`);
    this.#give(proxy, order);
  }

  #give(proxy: SimulatedProxy, order: OperatorOrder): void {
    const { by, onOutcome } = this.#orderRules.ordered(proxy, order);
    proxy.controller.orderForAll(order, { by, reason: "" }, onOutcome);
  }

  /** No order stands any more. */
  #release(): void {
    for (const proxy of this.proxies) {
      if (proxy.isDead || proxy.clock.stands) continue;
      const { paused, drained } = proxy.controller.state;
      if (paused !== undefined) this.#give(proxy, { name: "resume" });
      for (const upstream of drained.keys()) this.#give(proxy, { name: "undrain", upstream });
    }
  }
}

function policyBy(dice: Dice): Policy {
  const promotedBy = dice.pick([undefined, undefined, "us", "us", "trigger"] as const);
  const roles: RolePolicy | undefined = promotedBy === undefined
    ? undefined
    : { promotedBy, maxLag: dice.pick([undefined, { bytes: 50 }]) };
  return {
    ...POLICY,
    ...{ fall: 2, rise: 1, holdMs: 30_000, maxBackoffMs: 2_000 },
    onTriggerFailure: roles !== undefined || dice.once(2) ? "retry" : "continue",
    triggers: roles !== undefined || dice.fraction() < 0.8 ? "before" : "beside",
    failback: dice.pick([{ kind: "never" }, { kind: "after", ms: 5_000 }] as const),
    sessionsOnMove: "cut",
    ...roles === undefined ? {} : { roles },
  };
}
