/**
 * A world of database servers with roles, in virtual time: they die, come back as what they were, are promoted by us
 * or by somebody else, and made standbys again. Each promotion of the world has a term, a number that only grows.
 */
import type { ManualClock } from "../../src/base/clock.ts";
import type { Dice } from "../../src/base/testing/dice.ts";
import type { ProbeResult, TriggerOutcome } from "../../src/failover/ports.ts";

/** Who promotes standbys when the primary is gone. */
export type Promoter = "us" | "others";

/** One server. */
export interface Server {
  readonly name: string;
  isAlive: boolean;
  role: "primary" | "standby";
  /** The promotion since which it is, or was, a primary; 0 if it never was one. */
  term: number;
  /** Until this time it only says that it is starting. */
  startsUntil: number;
  position: number;
}

/** The least time between two promotions by somebody else, in milliseconds. */
const MANAGED_MS = 10_000;

/** The servers, and what happens to them. */
export class Servers {
  readonly all: readonly Server[];
  readonly #clock: ManualClock;
  readonly #dice: Dice;
  readonly #promoter: Promoter;
  #term = 1;
  #managedAt = 0;

  constructor(count: number, clock: ManualClock, dice: Dice, promoter: Promoter) {
    this.#clock = clock;
    this.#dice = dice;
    this.#promoter = promoter;
    const first = dice.under(count);
    this.all = Array.from({ length: count }, (_, rank) => ({
      ...{ name: `s${rank}`, isAlive: true, startsUntil: 0, position: 1_000 },
      ...rank === first ? { role: "primary", term: 1 } : { role: "standby", term: 0 },
    }));
    for (const server of this.all) this.#live(server);
    this.#every(1_000, () => this.#write());
    if (promoter === "others") this.#every(3_000, () => this.#manage());
    // A stale primary is made a standby by its operator, some time later.
    this.#every(15_000, () => this.#rewind());
  }

  of(name: string): Server {
    return this.all.find((server) => server.name === name)!;
  }

  /** The newest primary, alive or not. */
  get newest(): Server {
    return this.all.reduce((best, each) => each.term > best.term ? each : best);
  }

  /** What a check learns of a server now. */
  ask(name: string): Omit<ProbeResult, "tookMs"> {
    const { isAlive, role, startsUntil, position } = this.of(name);
    if (!isAlive) return { passed: false, reason: "connection refused", evidence: "refused" };
    const alive = { passed: true, reason: "alive", evidence: "passed" } as const;
    if (this.#clock.now() < startsUntil) {
      return { ...alive, server: { role: "unknown", phase: "starting" } };
    }
    return { ...alive, server: { role, phase: "running", position } };
  }

  /** An order to promote a server: it may be refused, or it is carried out, and the answer may be lost. */
  promote(name: string): TriggerOutcome {
    const server = this.of(name);
    const roll = this.#dice.fraction();
    if (!server.isAlive) return { how: "failed", reason: "unreachable", promotion: "unclear" };
    if (server.role === "primary") return { how: "ran" };
    if (roll < 0.1) return { how: "failed", reason: "permission denied", promotion: "refused" };
    if (roll < 0.2) return { how: "failed", reason: "no answer", promotion: "unclear" };
    this.#raise(server);
    if (roll < 0.3) return { how: "failed", reason: "connection lost", promotion: "unclear" };
    return { how: "ran" };
  }

  #raise(server: Server): void {
    server.role = "primary";
    server.term = ++this.#term;
  }

  #every(meanMs: number, run: () => void): void {
    this.#clock.after(-Math.log(1 - this.#dice.fraction()) * meanMs, () => {
      run();
      this.#every(meanMs, run);
    });
  }

  #live(server: Server): void {
    const meanMs = server.isAlive ? 40_000 : 12_000;
    this.#clock.after(-Math.log(1 - this.#dice.fraction()) * meanMs, () => {
      server.isAlive = !server.isAlive;
      server.startsUntil = this.#clock.now() + this.#dice.fraction() * 3_000;
      this.#live(server);
    });
  }

  #write(): void {
    const { newest } = this;
    if (newest.isAlive) newest.position += 100;
    for (const server of this.all) {
      if (server.role === "standby" && server.isAlive && this.#dice.once(2)) {
        server.position = newest.position;
      }
    }
  }

  /** Somebody else promotes a standby, before or after the old primary became one, or because that is gone. */
  #manage(): void {
    const { newest } = this;
    // Who manages servers does not do so twice between two checks.
    if (this.#clock.now() - this.#managedAt < MANAGED_MS) return;
    const standby = this.all.find((each) => each.isAlive && each.role === "standby");
    if (standby === undefined || (newest.isAlive && !this.#dice.once(4))) return;
    if (newest.isAlive && this.#dice.once(2)) newest.role = "standby";
    this.#raise(standby);
    this.#managedAt = this.#clock.now();
  }

  #rewind(): void {
    const { newest } = this;
    const stale = this.all.find((each) =>
      each.isAlive && each.role === "primary" && each !== newest
    );
    // Where we promote, nobody takes a server away that we may have promoted.
    if (stale !== undefined && (this.#promoter === "others" || newest.isAlive)) {
      stale.role = "standby";
    }
  }
}
