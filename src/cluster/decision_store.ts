/** Stores the decisions of the proxy that leads. */
import type { Clock } from "../base/clock.ts";
import type { Decision } from "../failover/cluster.ts";
import { type Etcd, EtcdError } from "./etcd.ts";
import { decisionText } from "./keys.ts";
import type { Session } from "./session.ts";

/** What the store needs of the membership. */
export interface DecisionStorePorts {
  readonly etcd: Etcd;
  readonly session: Session;
  readonly instance: string;
  readonly clock: Clock;
  /** How long it tries to store one decision, in milliseconds: etcd may answer and refuse every change. */
  readonly triesMs: number;
  /** Called with the reason when a call failed; resolves after a pause. */
  failed(reason: string): Promise<void>;
  /** Resolves after a round of the membership that begins from now on. */
  nextRound(): Promise<void>;
  /** Why the last call failed, if it did. */
  reason(): string | undefined;
  /** Whether the promotion `epoch` is still to be begun. */
  isAwaited(epoch: number): boolean;
}

/** The decisions of one proxy, for one service. */
export class DecisionStore {
  readonly #ports: DecisionStorePorts;
  #decided: { readonly epoch: number; readonly revision: number } | undefined;

  constructor(ports: DecisionStorePorts) {
    this.#ports = ports;
  }

  /** The revision at which the decision `epoch` of this proxy was stored; undefined if it was not. */
  fenceOf(epoch: number): number | undefined {
    return this.#decided?.epoch === epoch ? this.#decided.revision : undefined;
  }

  /** Whether this proxy leads for certain; asks etcd if the lease is in doubt. */
  async isLeading(): Promise<boolean> {
    try {
      return await this.#ports.session.confirmLead();
    } catch (error) {
      if (error instanceof EtcdError) return false;
      throw error;
    }
  }

  /** Why this proxy does not lead, for a person. */
  whyNotLeading(): string {
    const { session, instance } = this.#ports;
    const leader = session.stored?.leader?.instance;
    if (!session.isMember) return this.#ports.reason() ?? "its lease may have ended";
    return leader === instance ? "its lease is in doubt" : `${leader ?? "no proxy"} leads`;
  }

  /**
   * Stores a decision if this proxy leads and the stored one is that which it has read. A call without an
   * answer may have stored it or not: that is read before it is tried again. Resolves with the reason if it
   * cannot be stored.
   */
  async store(decision: Decision): Promise<string | undefined> {
    const { session, etcd, instance, failed, nextRound } = this.#ports;
    const { clock, triesMs } = this.#ports;
    const until = clock.now() + triesMs;
    const isNew = decision.phase === "promoting";
    while (await this.isLeading()) {
      if (clock.now() > until) return `etcd does not store it: ${this.#trouble}`;
      if (isNew && decision.move === "failover" && this.#isAhead) {
        // It has not read its own last decision yet, nor the votes on the upstream that this failover leaves.
        await nextRound();
        if (!this.#ports.isAwaited(decision.epoch)) return "it was given up before it was stored";
        continue;
      }
      const last = this.#last;
      if (last !== undefined && decision.epoch < last.epoch + (isNew ? 1 : 0)) return already(last);
      // The promotion that this one repeats was finished meanwhile. Its upstream has clients already, so that `from`
      // is not the upstream that served last.
      if (isNew && decision.move === "resume" && last?.phase === "done") return finished(last);
      const revision = this.#revision;
      try {
        const result = await etcd.transact([
          { key: "leader", value: instance },
          { key: "decision", modRevision: revision },
        ], [{ put: "decision", value: decisionText(decision) }]);
        if (result.succeeded) return this.#stored(decision, result.revision);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        this.#trouble = error.message;
        await failed(error.message);
      }
      await nextRound();
      const { stored } = session;
      if (stored?.decision === undefined) continue;
      if (isSame(stored.decision, decision)) {
        return this.#stored(decision, stored.decisionRevision);
      }
      if (stored.decisionRevision > revision) return already(stored.decision);
    }
    return this.whyNotLeading();
  }

  #stored(decision: Decision, revision: number): undefined {
    const { epoch } = decision;
    // The fence of an epoch is the revision at which it began.
    const fence = this.fenceOf(epoch);
    this.#newest = revision;
    this.#own = decision;
    this.#decided = { epoch, revision: fence ?? revision };
  }

  /** The newest decision that this proxy has stored, and its revision. */
  #own: Decision | undefined;
  #newest = 0;
  /** Why the last call to store something failed. */
  #trouble = "";

  /** Whether this proxy has stored a decision after what it has read. */
  get #isAhead(): boolean {
    return (this.#ports.session.stored?.revision ?? 0) < this.#newest;
  }

  /** The revision of the decision that this proxy knows: as it was read, or as it was stored after that. */
  get #revision(): number {
    return this.#isAhead ? this.#newest : this.#ports.session.stored?.decisionRevision ?? 0;
  }

  /** That decision. */
  get #last(): Decision | undefined {
    return this.#isAhead ? this.#own : this.#ports.session.stored?.decision;
  }
}

/** Whether both are the same decision, which one proxy makes once. */
function isSame(one: Decision, other: Decision): boolean {
  const { epoch, phase, to, by } = other;
  return one.epoch === epoch && one.phase === phase && one.to === to && one.by === by;
}

function finished({ epoch, to }: Decision): string {
  return `the promotion of ${to} in epoch ${epoch} is finished`;
}

function already({ epoch, by }: Decision): string {
  return `epoch ${epoch} was decided by ${by}`;
}
