/**
 * One proxy's membership of the cluster: its lease, what it tells the others, the lead, and what is stored.
 * `round` does everything that is due, one call after another, and is repeated: after each change of a key,
 * after a change of what this proxy tells, and before the lease needs a renewal. A watch only says that
 * there is something to read, so that a change that it misses is read with the next renewal.
 */
import type { Clock } from "../base/clock.ts";
import { type Etcd, EtcdError } from "./etcd.ts";
import { type Seen, seenText, type Stored, storedOf } from "./keys.ts";
import { LeaseClock, marginMs, type SentAt } from "./lease_clock.ts";

/** Renewals in the time of one lease. */
const RENEWALS = 5;
/** How often one round tries to take or to give up the lead; another proxy may change it in between. */
const CLAIMS_MAX = 2;
/** How many leases one round makes at most: each may end at once, as in a store that is out of order. */
const LEASES_MAX = 3;

/** What is said of a store that knows less than this proxy. */
const OLD = "etcd was restored from an old copy, or is another one";

/** What the session tells and asks. */
export interface SessionPorts {
  readonly etcd: Etcd;
  readonly clock: Clock;
  /** Unique for each run of a process. */
  readonly instance: string;
  readonly ttlS: number;
  /** What this proxy tells the others now. */
  seen(): Seen;
  /** The highest revision of a decision that this proxy knows, also from before its start; 0 if it knows none. */
  fence(): number;
  /** Whether this proxy may lead, given what it and the others see. */
  mayLead(others: Stored["seen"]): boolean;
}

/** The membership of one proxy. Calls of `round` must not overlap. */
export class Session {
  readonly #ports: SessionPorts;
  readonly #leaseClock: LeaseClock;
  #lease: string | undefined;
  #sentAt = -Infinity;
  /** When the last reading was asked for. */
  #readAt = -Infinity;
  #told: string | undefined;
  /** The revision at which the lead was taken that this proxy has given up last. */
  #givenUp = 0;
  #stored: Stored | undefined;
  /** Whether the last call showed that this is the etcd of before, and no older copy of it. */
  #isSure = false;

  constructor(ports: SessionPorts) {
    this.#ports = ports;
    this.#leaseClock = new LeaseClock(ports.clock);
  }

  /** What was read last; undefined before the first reading. */
  get stored(): Stored | undefined {
    return this.#stored;
  }

  /** The lease of this proxy; undefined if it has none. */
  get lease(): string | undefined {
    return this.#lease;
  }

  /** Whether the lease lasts for certain, so that what was read is still true enough to serve by. */
  get isMember(): boolean {
    return this.leftMs > 0;
  }

  /** Whether this proxy leads for certain. */
  get leads(): boolean {
    const leader = this.#stored?.leader;
    return this.isMember && leader?.instance === this.#ports.instance &&
      leader.lease === this.#lease && leader.revision !== this.#givenUp;
  }

  /** How long the lease lasts for certain, and what was read is new enough, in milliseconds. */
  get leftMs(): number {
    if (this.#lease === undefined) return 0;
    const { clock, ttlS } = this.#ports;
    const ttlMs = ttlS * 1_000;
    // Renewals alone are not enough: what was read must be as new.
    const readLeftMs = this.#readAt + ttlMs - marginMs(ttlMs) - clock.now();
    return Math.max(0, Math.min(readLeftMs, this.#leaseClock.leftMs));
  }

  /** When the next renewal is due, as a time of the clock. */
  get renewAt(): number {
    return this.#lease === undefined || this.#leaseClock.isInDoubt
      ? -Infinity
      : this.#sentAt + this.#ports.ttlS * 1_000 / RENEWALS;
  }

  /** Whether the lease must be renewed before anything is decided. */
  get isInDoubt(): boolean {
    return this.#leaseClock.isInDoubt;
  }

  /**
   * Does what is due, and reads. Rejects with an `EtcdError` if a call failed. A lease that has ended, as when somebody
   * revoked it, is an answer and no failure: the round begins anew with another one.
   */
  async round(): Promise<Stored> {
    for (let leases = 1;; leases++) {
      try {
        return await this.#round();
      } catch (error) {
        this.#isSure = false;
        // The machine may have been suspended for longer than the lease, and another proxy may lead.
        if (this.#leaseClock.isInDoubt) this.#endUntilRenewed();
        if (!(error instanceof EtcdError) || error.kind !== "leaseGone") throw error;
        this.leaseEnded();
        if (leases < LEASES_MAX) continue;
        throw new EtcdError("refused", `${LEASES_MAX} leases ended at once: ${error.message}`);
      }
    }
  }

  /** Renews the lease if it is in doubt. Resolves with whether this proxy leads for certain. */
  async confirmLead(): Promise<boolean> {
    if (this.leads && this.isInDoubt) await this.#renew();
    return this.leads && !this.isInDoubt;
  }

  /** etcd has answered that the lease is over, with all keys that belonged to it: the next round makes another one. */
  leaseEnded(): void {
    this.#lease = undefined;
    this.#told = undefined;
    this.#leaseClock.end();
  }

  /** Gives the lease back, and with it the lead. Resolves in any case. */
  async end(): Promise<void> {
    const lease = this.#lease;
    this.leaseEnded();
    if (lease !== undefined) await this.#ports.etcd.revoke(lease).catch(() => {});
  }

  async #round(): Promise<Stored> {
    const { clock, etcd, instance, mayLead } = this.#ports;
    if (clock.now() >= this.renewAt) await this.#renew();
    // Nothing is written to an etcd that may be an old copy or another cluster. A proxy that can read but not write
    // is no member.
    if (!this.#isSure && this.#mustTell) await this.#ask();
    await this.#tell();
    let stored = await this.#read();
    for (let claims = 0; claims < CLAIMS_MAX; claims++) {
      const { leader, seen } = stored;
      // Without a lease it was written by hand, and would stay for ever.
      const isOurs = leader?.instance === instance || leader !== undefined && !leader.lease;
      const may = mayLead(seen);
      const holds = leader?.lease === this.#lease && leader?.revision !== this.#givenUp;
      if (leader !== undefined && (!isOurs || may && holds)) break;
      if (isOurs) {
        // This proxy stops leading before it asks etcd to give the lead away: another one may hear of that first.
        this.#stored = { ...stored, leader: undefined };
        // A request without an answer may still be carried out, so that this lead is over in any case.
        this.#givenUp = leader.revision;
        const condition = { key: "leader", createRevision: leader.revision };
        await etcd.transact([condition], [{ remove: "leader" }]);
      } else if (!may) break;
      else await this.#claim();
      stored = await this.#read();
    }
    return stored;
  }

  async #claim(): Promise<void> {
    const { etcd, instance } = this.#ports;
    const free = { key: "leader", createRevision: 0 };
    await etcd.transact([free], [{ put: "leader", value: instance, lease: this.#held }]);
  }

  /** The lease; throws without one, since a key that belongs to none would stay for ever. */
  get #held(): string {
    if (this.#lease === undefined) throw new EtcdError("leaseGone", "the lease has ended");
    return this.#lease;
  }

  /** Makes a lease, or renews the one that there is. */
  async #renew(): Promise<void> {
    const { etcd, ttlS } = this.#ports;
    const sent = this.#leaseClock.moment();
    if (this.#lease !== undefined) {
      const leftS = await etcd.renew(this.#lease);
      if (leftS > 0) return this.#renewed(sent, leftS);
      this.leaseEnded();
    }
    const granted = this.#leaseClock.moment();
    const { id, ttlS: givenS } = await etcd.grant(ttlS);
    this.#lease = id;
    this.#renewed(granted, givenS);
  }

  #renewed(sent: SentAt, ttlS: number): void {
    // The lead has lasted with the lease, but what others have decided meanwhile must be read anew.
    if (this.#leaseClock.isInDoubt && !this.leads) this.#readAt = -Infinity;
    this.#sentAt = sent.at;
    this.#leaseClock.renewed(sent, ttlS * 1_000);
  }

  /**
   * The lease may have ended, and counts again when etcd has renewed it. Nobody knows how long ago it was read, so that
   * must be read anew as well.
   */
  #endUntilRenewed(): void {
    this.#leaseClock.end();
    this.#sentAt = this.#readAt = -Infinity;
  }

  get #mustTell(): boolean {
    return seenText(this.#ports.seen()) !== this.#told;
  }

  async #tell(): Promise<void> {
    const { etcd, instance, seen } = this.#ports;
    const text = seenText(seen());
    if (text === this.#told) return;
    const put = `seen/${instance}`;
    await etcd.transact([], [{ put, value: text, lease: this.#held }]);
    this.#told = text;
  }

  async #read(): Promise<Stored> {
    const askedAt = this.#ports.clock.now();
    const stored = await this.#ask();
    // Somebody has removed it, or what was told before has arrived late.
    const own = stored.seen.get(this.#ports.instance);
    if (own === undefined || seenText(own) !== this.#told) this.#told = undefined;
    this.#readAt = askedAt;
    return this.#stored = stored;
  }

  /** Reads, and looks whether what is stored can be used. */
  async #ask(): Promise<Stored> {
    const stored = storedOf(await this.#ports.etcd.read());
    if (stored.decisionRevision > 0 && stored.decision === undefined) {
      throw new EtcdError("refused", "the stored decision cannot be read by this version");
    }
    const age = ageOf(stored, Math.max(this.#ports.fence(), this.#stored?.decisionRevision ?? 0));
    if (age !== undefined) throw new EtcdError("stale", age);
    this.#isSure = true;
    return stored;
  }
}

/** Why what is stored is older than the decision of the revision `fence`, which was known before, for a person. */
function ageOf(
  { revision, decision, decisionRevision }: Stored,
  fence: number,
): string | undefined {
  if (decision !== undefined && decisionRevision < fence) {
    return `${OLD} (epoch ${decision.epoch}, revision ${decisionRevision}, but ${fence} was seen before)`;
  }
  return revision < fence
    ? `${OLD} (its revision is ${revision}, but ${fence} was seen before)`
    : undefined;
}
