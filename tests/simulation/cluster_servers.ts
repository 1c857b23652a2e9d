/**
 * The servers behind the simulated cluster. Plain ones are up or down. Servers with roles are a primary and its standbys
 * with synchronous replication: a write is acknowledged when all standbys of its primary have it, so that a primary whose
 * standby was promoted acknowledges nothing. A server that dies comes back as what it was. An agent beside them makes
 * every other server a standby of the one that was decided.
 */
import type { ManualClock } from "../../src/base/clock.ts";
import type { ProbeResult } from "../../src/failover/ports.ts";
import type { ServerReport } from "../../src/failover/server_report.ts";
import { PASSED, REFUSED } from "../../src/failover/testing/results.ts";

/** One server. */
interface Server {
  readonly name: string;
  role: "primary" | "standby";
  /** Counts the reasons why it is down. */
  faults: number;
  /** Until this time it only says that it is starting. */
  startsUntil: number;
  /** The promotion since which it is, or was, a primary; 0 if it never was one. */
  term: number;
  /** The numbers of the writes that it has. */
  data: Set<number>;
  /** The standbys that a write waits for. */
  readonly waitsFor: Set<string>;
  /** Which server it copies. */
  source: string | undefined;
}

/** What the servers need to know. */
export interface ServersSettings {
  readonly world: ManualClock;
  readonly random: () => number;
  readonly hasRoles: boolean;
  /** Whether no two servers reach each other. */
  isSplit(): boolean;
  /** It has died, and all connections to it. */
  onDown(name: string): void;
  /** The server that was decided, while no promotion is under way. */
  decided(): string | undefined;
}

/** How often standbys copy, in milliseconds. */
const COPY_MS = 400;
/** How often the agent looks, in milliseconds. */
const AGENT_MS = 1_000;
/** The longest time in which a server is made anew, in milliseconds. */
const REBUILD_MAX_MS = 4_000;
/** The longest start of a server, in milliseconds. */
const START_MAX_MS = 2_000;

export class ClusterServers {
  readonly all: readonly Server[];
  /** The writes that clients got acknowledged. */
  acknowledged: number[] = [];
  readonly #settings: ServersSettings;
  #writes = 0;
  #term = 1;
  /** The highest fence that the servers have seen. */
  #fence = 0;

  constructor(names: readonly string[], settings: ServersSettings) {
    this.#settings = settings;
    const [first] = names;
    this.all = names.map((name) => ({
      ...{ name, faults: 0, startsUntil: 0, data: new Set<number>() },
      role: name === first ? "primary" as const : "standby" as const,
      term: name === first ? 1 : 0,
      waitsFor: new Set(name === first ? names.slice(1) : []),
      source: name === first ? undefined : first,
    }));
    if (!settings.hasRoles) return;
    this.#every(COPY_MS, () => this.#copy());
    this.#every(AGENT_MS, () => this.#attend());
  }

  of(name: string): Server {
    return this.all.find((server) => server.name === name)!;
  }

  isAlive(name: string): boolean {
    return this.of(name).faults === 0;
  }

  /** It is down until the returned function is called. */
  down(name: string): () => void {
    const server = this.of(name);
    server.faults++;
    this.#settings.onDown(name);
    return () => {
      server.faults--;
      server.startsUntil = this.#settings.world.now() + this.#settings.random() * START_MAX_MS;
    };
  }

  /** Whether it answers clients that read. */
  answers(name: string): boolean {
    return this.isAlive(name) && this.#settings.world.now() >= this.of(name).startsUntil;
  }

  /** Whether it takes writes, as far as it knows, and has for so many milliseconds since its start. */
  isPrimary(name: string, forMs = 0): boolean {
    const isLong = this.#settings.world.now() >= this.of(name).startsUntil + forMs;
    return isLong && this.answers(name) &&
      (!this.#settings.hasRoles || this.of(name).role === "primary");
  }

  /** What a check learns that reaches it. */
  ask(name: string): ProbeResult {
    if (!this.isAlive(name)) return REFUSED;
    if (!this.#settings.hasRoles) return PASSED;
    const { role, source, data } = this.of(name);
    if (!this.answers(name)) return { ...PASSED, server: { role: "unknown", phase: "starting" } };
    const server: ServerReport = { role, phase: "running", position: data.size };
    return { ...PASSED, server: source === undefined ? server : { ...server, source } };
  }

  /** Whether a client that writes gets an answer. What does not count may be lost. */
  write(name: string, isCounted = true): boolean {
    const { hasRoles } = this.#settings;
    const server = this.of(name);
    if (!this.isPrimary(name)) return false;
    if (!hasRoles) return true;
    const id = ++this.#writes;
    server.data.add(id);
    const waited = [...server.waitsFor].map((each) => this.of(each));
    const have = waited.filter((standby) => this.#follows(standby, server));
    for (const standby of have) standby.data.add(id);
    if (have.length < waited.length) return false;
    if (isCounted) this.acknowledged.push(id);
    return true;
  }

  /** Makes a server the primary now, unless a higher fence was seen; false if it can't be. */
  promote(name: string, fence: number | undefined): boolean {
    const server = this.of(name);
    if (!this.answers(name)) return false;
    if (fence !== undefined && fence < this.#fence) return false;
    this.#fence = Math.max(this.#fence, fence ?? 0);
    if (server.role === "primary") return true;
    server.role = "primary";
    server.term = ++this.#term;
    server.source = undefined;
    server.waitsFor.clear();
    return true;
  }

  /** An operator has chosen this server although it lacks writes. */
  forgive(name: string): void {
    const { data } = this.of(name);
    this.acknowledged = this.acknowledged.filter((id) => data.has(id));
  }

  /** The acknowledged writes that a server does not have. */
  lostAt(name: string): number[] {
    const { data } = this.of(name);
    return this.acknowledged.filter((id) => !data.has(id));
  }

  #every(ms: number, run: () => void): void {
    this.#settings.world.after(ms * (0.5 + this.#settings.random()), () => {
      run();
      this.#every(ms, run);
    });
  }

  #follows(standby: Server, primary: Server): boolean {
    return standby.role === "standby" && standby.source === primary.name &&
      this.answers(standby.name) && this.answers(primary.name) && !this.#settings.isSplit();
  }

  #copy(): void {
    for (const standby of this.all) {
      const { source } = standby;
      if (source === undefined || !this.#follows(standby, this.of(source))) continue;
      const { data } = this.of(source);
      if (data.size !== standby.data.size) standby.data = new Set(data);
    }
  }

  #attend(): void {
    const { decided, isSplit } = this.#settings;
    const to = decided();
    if (to === undefined || isSplit() || !this.isPrimary(to)) return;
    for (const other of this.all) {
      if (other.name === to || !this.answers(other.name)) continue;
      // The standbys of a stale primary come first: behind a standby they could be chosen, and lack what it has got.
      const hasStandby = this.all.some(({ source }) => source === other.name);
      const isOld = other.role === "primary" || other.source !== to;
      if (isOld && !hasStandby) this.#rebuild(other, this.of(to));
    }
  }

  /** Makes `other` a standby of `serving`, with a copy of everything that was acknowledged before. */
  #rebuild(other: Server, serving: Server): void {
    const { world, random } = this.#settings;
    serving.waitsFor.add(other.name);
    const rise = this.down(other.name);
    world.after(random() * REBUILD_MAX_MS, () => {
      const isPossible = this.isPrimary(serving.name) && !this.#settings.isSplit();
      if (isPossible) {
        other.role = "standby";
        other.source = serving.name;
        other.data = new Set(serving.data);
        other.waitsFor.clear();
      }
      rise();
    });
  }
}
