/**
 * A model of etcd in memory: one store of keys with revisions, transactions and leases, in virtual time. Each
 * client has a link of its own, which delays calls, loses them, or loses their answers.
 */
import type { Clock } from "../../base/clock.ts";
import { type Condition, type Etcd, EtcdError, type KeyChange, type KeyEntry } from "../etcd.ts";

/** The way between one client and the store. */
export interface Link {
  /** How long a message to the store, or back, takes now, in milliseconds; undefined if it is lost. */
  delay(way: "there" | "back"): number | undefined;
}

interface Lease {
  readonly ttlMs: number;
  end: () => void;
}

/** How long a call waits for its answer, in milliseconds. */
const CALL_MS = 1_000;
/** The store removes a lease so long after its end at most, in milliseconds. */
const LEASE_LATE_MS = 500;

export class EtcdModel {
  revision = 1;
  readonly keys = new Map<string, KeyEntry>();
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #leases = new Map<string, Lease>();
  readonly #watchers = new Set<() => void>();
  #lastLease = 0;
  #isLeaderless = false;
  /** Why it refuses every transaction; undefined if it does not. */
  refuses: string | undefined;
  /** Called with each change of a key. */
  onChange: (key: string, value: string | undefined, revision: number) => void = () => {};
  /** Called with each new lease. */
  onGrant: (lease: string) => void = () => {};

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** A client whose timers and answers come by `clock`, which stands still while its process does. */
  client(clock: Clock, link: Link): Etcd {
    const call = <T>(act: () => T) => this.#call(clock, link, act);
    return {
      read: () => call(() => ({ revision: this.revision, entries: new Map(this.keys) })),
      transact: (conditions, changes) => call(() => this.#transact(conditions, changes)),
      grant: (ttlS) => call(() => this.#grant(ttlS)),
      renew: (lease) => call(() => this.#renew(lease)),
      revoke: (lease) => call(() => this.end(lease)),
      watch: (onChange, signal) => this.#watch(clock, link, onChange, signal),
    };
  }

  /** The proxies that have a lease on their vote or on the lead, which has not ended. */
  instances(): Set<string> {
    const voters = [...this.keys.keys()].filter((key) => key.startsWith("seen/"))
      .map((key) => key.slice("seen/".length));
    const leader = this.keys.get("leader")?.value;
    return new Set(leader === undefined ? voters : [...voters, leader]);
  }

  /** It has no leader from now on: it changes nothing that it confirms, and no lease ends. */
  loseLeader(): void {
    this.#isLeaderless = true;
    for (const lease of this.#leases.values()) lease.end();
  }

  /** It has a leader again, with which all leases begin anew. */
  elect(): void {
    if (!this.#isLeaderless) return;
    this.#isLeaderless = false;
    for (const [id, lease] of this.#leases) this.#arm(id, lease);
  }

  get isLeaderless(): boolean {
    return this.#isLeaderless;
  }

  /** The last leader may have made the change, and had no time to say so. */
  #refuse(act: () => unknown): never {
    if (this.#random() < 0.1) act();
    throw new EtcdError("unreachable", "etcdserver: no leader");
  }

  async #call<T>(clock: Clock, link: Link, act: () => T): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const lost = () => reject(new EtcdError("unreachable", "no answer in time"));
      const late = clock.after(CALL_MS, lost);
      const there = link.delay("there");
      if (there === undefined) return;
      // The message travels in the time of the world, even if its sender stands still.
      this.#clock.after(there, () => {
        let answer: () => void;
        try {
          if (this.#isLeaderless) this.#refuse(act);
          const result = act();
          answer = () => resolve(result);
        } catch (error) {
          answer = () => reject(error);
        }
        const back = link.delay("back");
        if (back === undefined) return;
        this.#clock.after(back, () =>
          clock.after(0, () => {
            late();
            answer();
          }));
      });
    });
  }

  #watch(clock: Clock, link: Link, onChange: () => void, signal: AbortSignal): Promise<void> {
    const take = () => {
      const delay = link.delay("back");
      if (delay === undefined) return;
      this.#clock.after(delay, () => clock.after(0, () => signal.aborted || onChange()));
    };
    this.#watchers.add(take);
    take();
    return new Promise((resolve) => {
      const end = () => {
        this.#watchers.delete(take);
        resolve();
      };
      if (signal.aborted) return end();
      signal.addEventListener("abort", end, { once: true });
    });
  }

  #transact(conditions: readonly Condition[], changes: readonly KeyChange[]) {
    if (this.refuses !== undefined) throw new EtcdError("unreachable", this.refuses);
    const isTrue = (condition: Condition) => {
      const entry = this.keys.get(condition.key);
      if ("value" in condition) return entry?.value === condition.value;
      return "modRevision" in condition
        ? (entry?.modRevision ?? 0) === condition.modRevision
        : (entry?.createRevision ?? 0) === condition.createRevision;
    };
    const succeeded = conditions.every(isTrue);
    if (succeeded) {
      for (const change of changes) {
        if ("put" in change && change.lease !== undefined && !this.#leases.has(change.lease)) {
          throw new EtcdError("leaseGone", "requested lease not found");
        }
      }
      this.revision++;
      for (const change of changes) this.#apply(change);
      this.#hint();
    }
    return { succeeded, revision: this.revision };
  }

  #apply(change: KeyChange): void {
    const { revision } = this;
    if ("remove" in change) {
      if (this.keys.delete(change.remove)) this.onChange(change.remove, undefined, revision);
      return;
    }
    const { put, value, lease } = change;
    const createRevision = this.keys.get(put)?.createRevision ?? revision;
    this.keys.set(put, { value, modRevision: revision, createRevision, lease });
    this.onChange(put, value, revision);
  }

  #grant(ttlS: number) {
    const id = String(++this.#lastLease);
    const lease = { ttlMs: ttlS * 1_000, end: () => {} };
    this.#leases.set(id, lease);
    this.#arm(id, lease);
    this.onGrant(id);
    return { id, ttlS };
  }

  #renew(id: string): number {
    const lease = this.#leases.get(id);
    if (lease === undefined) return 0;
    this.#arm(id, lease);
    return lease.ttlMs / 1_000;
  }

  #arm(id: string, lease: Lease): void {
    lease.end();
    if (this.#isLeaderless) return;
    const ms = lease.ttlMs + this.#random() * LEASE_LATE_MS;
    lease.end = this.#clock.after(ms, () => this.end(id));
  }

  /** Ends a lease and removes its keys, as when somebody revokes it. */
  end(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.end();
    this.#leases.delete(id);
    this.revision++;
    for (const [key, entry] of this.keys) {
      if (entry.lease !== id) continue;
      this.keys.delete(key);
      this.onChange(key, undefined, this.revision);
    }
    this.#hint();
  }

  #hint(): void {
    for (const take of this.#watchers) take();
  }
}
