/**
 * What must always be true in the simulated cluster. It is told of everything that happens, when it happens, and calls
 * `breach` with the first rule that was broken.
 */
import type { Decision } from "../../src/failover/cluster.ts";
import type { Promotion } from "../../src/failover/ports.ts";
import type { RulesSettings } from "./cluster_rules_settings.ts";
import type { OrderRules } from "./cluster_order_rules.ts";
import type { SimulatedProxy } from "./cluster_proxy.ts";

/** One run of triggers. */
export interface Run {
  readonly proxy: SimulatedProxy;
  readonly epoch: number;
  readonly fence: number | undefined;
  readonly begunAt: number;
  endedAt: number | undefined;
  /** Its guard has ended it. */
  isCalledOff: boolean;
}

/** A decision that was stored, and when. */
interface Stored {
  readonly decision: Decision;
  readonly revision: number;
  readonly at: number;
}

/** How long a proxy has been well. Times of the world, in milliseconds. */
interface Well {
  /** Since when it reaches the server that was decided. */
  since: number;
  /** Since when it reaches etcd as well. */
  wholeSince: number;
  /** Since when it reaches etcd, whatever else. */
  connectedSince: number;
  /** By server: since when nothing is between the two, whatever the server is. */
  readonly reachesSince: Map<string, number>;
  /** When its clients went to that server last. */
  servedAt: number;
  /** The last decision that it has certainly followed, and by which it goes on to serve when it loses etcd. */
  follows: Stored | undefined;
}

/** How long a proxy must have reached etcd and the decided server until it certainly serves it, in milliseconds. */
const FOLLOWS_MS = 20_000;
/** The longest interruption of that, in milliseconds. */
const MISSING_MS = 5_000;
/** The longest time until an upstream that is down is replaced, in milliseconds. */
const REPLACED_MS = 10_000;
/**
 * How long a server must have been a primary within reach of a proxy until that certainly knows it, in milliseconds: a
 * check that was sent before has to time out first, and the next one begins after the pause between checks.
 */
const KNOWN_MS = 3_000;
/** The longest time from the opening of an upstream to the end of the last session on another one, in milliseconds. */
const SESSION_MS = 2_500;
/**
 * The longest time until all proxies know that traffic has begun, in milliseconds: one proxy writes it in its next
 * round, another one reads it in its own, and a call of each may be lost.
 */
const TOLD_MS = 6_000;
/** The longest time from the end of a suspension to the end of a program on that machine, in milliseconds. */
const RESUMED_MS = 8_000;

export class Rules {
  readonly runs: Run[] = [];
  readonly decisions: Stored[] = [];
  readonly #settings: RulesSettings;
  readonly #well = new Map<SimulatedProxy, Well>();
  /** The highest term of a server to which clients were let through. */
  #servedTerm = 0;
  /** The newest epoch that an operator ordered while no primary served, or that goes on with such a one. */
  #freeEpoch = 0;
  /** The runs that a suspended machine may go on with. */
  readonly #suspended = new Map<Run, number>();
  /** Since when the decided upstream is down and could be replaced. */
  #dueSince = 0;
  readonly #orders: OrderRules;
  /** By proxy and epoch: the decisions that were right when they were made. */
  readonly #rightThen = new Set<string>();

  constructor(settings: RulesSettings, orders: OrderRules) {
    this.#settings = settings;
    this.#orders = orders;
  }

  #break(what: string): void {
    this.#settings.breach(what);
  }

  // ---- Decisions

  decided(decision: Decision, revision: number): void {
    const { epoch, to, from, by, phase, move } = decision;
    const last = this.decisions.at(-1)?.decision;
    const first = this.decisions.find((each) => each.decision.epoch === epoch)?.decision;
    if (last !== undefined && epoch < last.epoch) {
      this.#break(`the decision ${epoch} was stored after ${last.epoch}`);
    }
    if (first !== undefined && first.to !== to) {
      this.#break(`epoch ${epoch} went from ${first.to} to ${to}`);
    }
    if (first !== undefined && first.by !== by) {
      this.#break(`epoch ${epoch} was decided by ${first.by} and by ${by}`);
    }
    if (last?.epoch === epoch && last.phase === "done" && phase !== "done") {
      this.#break(`epoch ${epoch} was done, and then ${phase}`);
    }
    const run = this.runs.findLast((each) => each.epoch === epoch);
    if (phase === "done" && run !== undefined && run.endedAt === undefined) {
      this.#break(`epoch ${epoch} was done before its triggers were`);
    }
    if (phase === "done" && run?.isCalledOff === true) {
      this.#break(`epoch ${epoch} was done although its triggers were called off`);
    }
    if (phase === "promoting") {
      this.#mayBegin(epoch, move, to);
      const isServed = from !== undefined && this.#knowsAsPrimary(by, from) &&
        !this.#rightThen.has(`${by} ${epoch}`);
      const isCarriedOn = last?.phase === "promoting" && last.to === to;
      if (isCarriedOn && last.epoch === this.#freeEpoch) this.#freeEpoch = epoch;
      else if (!isServed && move === "switchover") this.#freeEpoch = epoch;
    }
    if (move === "failover" && phase === "promoting") this.#mostSeeDown(decision);
    if (phase === "done") this.#notStale(decision);
    this.decisions.push({ decision, revision, at: this.#settings.now() });
  }

  /** Clients that were at a primary are never let through to an older one. */
  #notStale({ to, epoch }: Decision): void {
    const { servers, policy } = this.#settings;
    if (policy.roles === undefined) return;
    const { term } = servers.of(to);
    // An operator may choose any server while no primary serves, as far as the proxy that leads can know.
    if (epoch === this.#freeEpoch) servers.forgive(to);
    else if (term < this.#servedTerm) {
      this.#break(`${to} of term ${term} was chosen after one of term ${this.#servedTerm}`);
    }
    this.#servedTerm = term;
  }

  #mayBegin(epoch: number, move: Promotion["move"], to: string): void {
    if (move === "switchover") return;
    const pausedAt = this.#orders.standsSince("pause");
    if (pausedAt !== undefined && epoch > pausedAt) {
      this.#break(`epoch ${epoch} begins (${move}) although the service is paused`);
    }
    const drainedAt = this.#orders.standsSince(to);
    // A promotion that was under way is finished.
    if (drainedAt !== undefined && epoch > drainedAt && move !== "resume") {
      this.#break(`epoch ${epoch} begins (${move}) although ${to} is drained`);
    }
  }

  /** Whether the proxy `by` must know that `server` serves: where nothing has been between the two for a while. */
  #knowsAsPrimary(by: string, server: string): boolean {
    const { servers, proxies, now } = this.#settings;
    const proxy = proxies().find(({ name }) => name === by);
    if (proxy === undefined) return false;
    this.#measure();
    const since = this.#well.get(proxy)!.reachesSince.get(server)!;
    return now() - since > KNOWN_MS && servers.isPrimary(server, KNOWN_MS);
  }

  /** A proxy has decided for a promotion. What it knows may change before that is stored, or arrives. */
  decides(proxy: SimulatedProxy, { epoch, from, move }: Promotion): void {
    const known = 1 + (proxy.controller.state.cluster?.others.size ?? 0);
    // An operator may leave a primary that is down for most proxies, though the one that leads reaches it.
    const isRight = move === "switchover"
      ? from !== undefined && proxy.readsDown(from)
      : this.#whyNotLeft(from, known) === undefined;
    if (isRight) this.#rightThen.add(`${proxy.name} ${epoch}`);
  }

  /** An upstream that most proxies have reached all the time is not left. */
  #mostSeeDown({ epoch, from, by }: Decision): void {
    const why = this.#rightThen.has(`${by} ${epoch}`) ? undefined : this.#whyNotLeft(from);
    if (why !== undefined) this.#break(`epoch ${epoch} leaves ${from}, which ${why}`);
  }

  /** `known`: the number of voters for the proxy that decides, before the lease of one of them has ended. */
  #whyNotLeft(from: string | undefined, known = 0): string | undefined {
    const last = this.decisions.at(-1)?.decision;
    if (from === undefined || last?.phase !== "done" || last.to !== from) return undefined;
    this.#measure();
    const { reach, voters: stored } = this.#votersOf(this.#settings.now());
    const voters = Math.max(stored, known);
    if (reach.length * 2 > voters) return "most proxies see up";
    if (reach.length * 2 < voters || !this.#tellTraffic(reach, from)) return undefined;
    return "half of the proxies see up, with clients";
  }

  /**
   * Whether the proxy that leads must know that clients of one of these proxies move bytes. It cannot know that of
   * clients that have just begun again, for example because the standbys that their writes waited for are back.
   */
  #tellTraffic(proxies: readonly SimulatedProxy[], upstream: string): boolean {
    return proxies.some((proxy) => proxy.movesFor(upstream, TOLD_MS));
  }

  #mostReach(isWell: (well: Well) => boolean): boolean {
    const live = this.#settings.proxies().filter(({ isDead }) => !isDead);
    const reach = live.filter((proxy) => isWell(this.#well.get(proxy)!));
    return reach.length * 2 > live.length;
  }

  /**
   * Which of the proxies whose votes are stored reach the decided server. The vote of a proxy that has died counts
   * until its lease has ended.
   */
  #votersOf(now: number) {
    const stored = this.#settings.stored();
    const reach = this.#settings.proxies().filter((proxy) =>
      stored.has(proxy.name) && now - this.#well.get(proxy)!.wholeSince > FOLLOWS_MS
    );
    return { reach, voters: stored.size };
  }

  #mostVotersReach(now: number): boolean {
    const { reach, voters } = this.#votersOf(now);
    return reach.length * 2 > voters;
  }

  // ---- Triggers

  triggers(proxy: SimulatedProxy, promotion: Promotion, what: "begin" | "end" | "callOff"): void {
    const now = this.#settings.now();
    const { epoch, fence } = promotion;
    if (what !== "begin") {
      const run = this.runs.findLast((each) => each.proxy === proxy && each.epoch === epoch)!;
      run.endedAt = now;
      run.isCalledOff = what === "callOff";
      const resumedAt = this.#suspended.get(run);
      // One whose lead has outlasted the suspension may go on.
      const isOvertaken = this.runs.at(-1) !== run;
      if (isOvertaken && resumedAt !== undefined && now - resumedAt > RESUMED_MS) {
        this.#break(
          `the triggers of ${epoch} went on for ${now - resumedAt} ms after a suspension`,
        );
      }
      return;
    }
    const isRunning = (each: Run) => each.endedAt === undefined && !this.#suspended.has(each);
    const running = this.runs.find(isRunning);
    if (running !== undefined) {
      this.#break(`triggers of epoch ${epoch} begin while those of ${running.epoch} run`);
    }
    this.#othersHold(promotion);
    this.#begunOnce(proxy, promotion);
    this.#asStored(proxy, promotion);
    this.runs.push({ proxy, epoch, fence, begunAt: now, endedAt: undefined, isCalledOff: false });
  }

  /** Clients wait for the triggers at all proxies that reach etcd. */
  #othersHold({ epoch, to }: Promotion): void {
    const { policy, proxies, now } = this.#settings;
    if (policy.triggers === "beside") return;
    this.#measure();
    for (const { name, route } of proxies().filter((each) => this.#isConnected(each, now()))) {
      if (route !== undefined && route !== to) {
        this.#break(`triggers of epoch ${epoch} begin while clients of ${name} are at ${route}`);
      }
    }
  }

  /** Whether nothing has come between a proxy and etcd for a while. */
  #isConnected(proxy: SimulatedProxy, now: number): boolean {
    return now - (this.#well.get(proxy)?.connectedSince ?? now) > FOLLOWS_MS;
  }

  /**
   * Where roles are no reason against it, an upstream that is down is replaced by one that all reach. Nobody decides
   * before the lease of a leader that died has ended, and its vote counts so long.
   */
  #replaces(to: string): void {
    const { now, policy, servers, proxies, reaches, stored } = this.#settings;
    const live = proxies().filter(({ isDead }) => !isDead);
    const isOfLiving = [...stored()].every((name) => live.some((each) => each.name === name));
    const isOther = (name: string) =>
      name !== to && servers.answers(name) && live.every((each) => reaches(each, name));
    const mayMove = live.every(({ controller: { state: { paused, drained } } }) =>
      paused === undefined && drained.size === 0
    );
    const isDue = policy.roles === undefined && mayMove && live.length > 0 && isOfLiving &&
      !servers.isAlive(to) &&
      live.every((each) => this.#isConnected(each, now())) &&
      servers.all.some(({ name }) => isOther(name));
    if (!isDue) this.#dueSince = now();
    if (now() - this.#dueSince > REPLACED_MS) this.#break(`nothing replaces ${to}`);
  }

  #begunOnce(proxy: SimulatedProxy, { epoch, fence }: Promotion): void {
    const { policy } = this.#settings;
    const same = this.runs.filter((each) => each.epoch === epoch);
    if (same.some((each) => each.proxy !== proxy)) {
      this.#break(`the triggers of epoch ${epoch} were begun by two proxies`);
    }
    const last = this.runs.at(-1);
    if (same.length > 0 && (policy.onTriggerFailure !== "retry" || last!.epoch !== epoch)) {
      this.#break(`the triggers of epoch ${epoch} were begun again`);
    }
    if (last === undefined || last.epoch === epoch) return;
    if (fence! <= last.fence!) this.#break(`fence ${fence} came after ${last.fence}`);
    if (epoch <= last.epoch) this.#break(`epoch ${epoch} came after ${last.epoch}`);
  }

  /** The fence is the revision at which the epoch was stored, by this proxy and for this upstream. */
  #asStored(proxy: SimulatedProxy, { epoch, fence, to }: Promotion): void {
    if (fence === undefined) return this.#break(`epoch ${epoch} has no fence`);
    const first = this.decisions.find((each) => each.decision.epoch === epoch);
    if (first === undefined) return this.#break(`epoch ${epoch} begins, and was never stored`);
    const { decision, revision } = first;
    if (decision.by !== proxy.name || decision.to !== to) {
      this.#break(`epoch ${epoch} is for ${decision.to} by ${decision.by}, its triggers for ${to}`);
    }
    if (revision !== fence) {
      this.#break(`epoch ${epoch} was stored at ${revision}, and its fence is ${fence}`);
    }
  }

  /** The machine of this proxy is suspended, with its programs. If they go on later, only the fence can stop them. */
  suspended(proxy: SimulatedProxy): void {
    for (const run of this.runs) {
      if (run.proxy === proxy && run.endedAt === undefined) this.#suspended.set(run, Infinity);
    }
  }

  wentOn(proxy: SimulatedProxy): void {
    for (const run of this.#suspended.keys()) {
      if (run.proxy === proxy) this.#suspended.set(run, this.#settings.now());
    }
  }

  // ---- Clients

  /** An upstream has answered clients of a proxy: it may not, if new ones are let through to another one. */
  answered(proxy: SimulatedProxy, upstream: string): void {
    const { policy } = this.#settings;
    const { route, opened, clock } = proxy;
    if (policy.roles === undefined || route === undefined || route === upstream) return;
    if (clock.now() - opened!.at < SESSION_MS) return;
    this.#break(`${upstream} answers a client of ${proxy.name}, whose clients are at ${route}`);
  }

  /** Looks at all proxies; to be called again and again. */
  look(): void {
    const { now, proxies, reaches } = this.#settings;
    const stored = this.decisions.at(-1);
    this.#measure();
    if (stored?.decision.phase !== "done") return void (this.#dueSince = now());
    const { to } = stored.decision;
    this.#replaces(to);
    const isDrained = proxies().some(({ controller: { state } }) => state.drained.has(to));
    // What most of them cannot reach may be left, and what is drained is not chosen again.
    if (isDrained || !this.#mostReach(({ since }) => now() - since > FOLLOWS_MS)) return;
    for (const proxy of proxies()) {
      const well = this.#well.get(proxy)!;
      const isLong = (since: number) => now() - Math.max(since, stored.at) > FOLLOWS_MS;
      if (proxy.route === to) well.servedAt = now();
      const isMissing = now() - well.servedAt > MISSING_MS;
      // By the stored votes it may be down, or by the traffic if the votes are equal.
      const isDoubtful = !this.#mostVotersReach(now());
      if (isLong(well.wholeSince)) {
        well.follows = stored;
        if (isDoubtful) well.servedAt = now();
        else if (isMissing) this.#break(`${proxy.name} reaches all, and does not serve ${to}`);
      } else if (isDoubtful && reaches(proxy, "etcd")) {
        well.servedAt = now();
      } else if (well.follows === stored && isLong(well.since) && isMissing) {
        this.#break(`${proxy.name} does not serve ${to} any more`);
      }
    }
  }

  #measure(): void {
    const { now, servers, reaches, proxies } = this.#settings;
    const to = this.decisions.at(-1)?.decision.to;
    for (const proxy of proxies()) {
      const { phase } = proxy.controller.state;
      // A proxy in a promotion has not stored the end of it yet, or not that it was given up.
      const isAwake = !proxy.isDead && !proxy.clock.stands && phase.name !== "promoting";
      const isWell = isAwake && to !== undefined && servers.isPrimary(to) && reaches(proxy, to);
      const well = this.#well.get(proxy) ?? {
        ...{ since: now(), wholeSince: now(), connectedSince: now(), servedAt: now() },
        ...{ follows: undefined, reachesSince: new Map() },
      };
      this.#well.set(proxy, well);
      for (const { name } of servers.all) {
        const isCut = proxy.isDead || proxy.clock.stands || !reaches(proxy, name);
        if (isCut || !well.reachesSince.has(name)) well.reachesSince.set(name, now());
      }
      if (proxy.isDead || proxy.clock.stands || !reaches(proxy, "etcd")) {
        well.connectedSince = now();
      }
      if (!isWell) well.since = now();
      if (!isWell || !reaches(proxy, "etcd")) well.wholeSince = now();
    }
  }
}
