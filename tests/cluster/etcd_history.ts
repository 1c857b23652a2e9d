/** What etcd has stored for a service: read past all ways, as the truth against which the history is checked. */
import type { EtcdCluster, EtcdMember } from "../harness/etcd.ts";
import { prefixOf } from "../../src/cluster/keys.ts";

/** How long one member has to answer, in milliseconds. */
const ASK_MS = 1_500;

/** A decision as it was stored. */
export interface StoredDecision {
  /** The revision at which it was stored. */
  readonly revision: number;
  readonly epoch: number;
  readonly to: string;
  readonly phase: string;
  readonly move: string;
  readonly by: string;
  readonly reason: string;
}

interface Entry {
  readonly value: string;
  readonly mod_revision: string;
  readonly version: string;
}

/** The keys of the service `tcp` of the cluster `test`. */
export class EtcdHistory {
  readonly #prefix = prefixOf("test", "tcp");
  readonly #etcd: EtcdCluster;

  constructor(etcd: EtcdCluster) {
    this.#etcd = etcd;
  }

  /** The key of the decision. */
  readonly decisionKey = `${this.#prefix}decision`;

  /** The present decision; rejects if no member knows it for certain. */
  async decision(): Promise<StoredDecision | undefined> {
    const entry = await this.#read("decision");
    return entry && decisionOf(entry);
  }

  /** The proxy that leads now; undefined if none does. */
  async leader(): Promise<string | undefined> {
    const entry = await this.#read("leader");
    return entry && atob(entry.value);
  }

  /** Every decision that was ever stored, the first one first. */
  async decisions(): Promise<StoredDecision[]> {
    const found: StoredDecision[] = [];
    let entry = await this.#read("decision");
    while (entry !== undefined) {
      found.unshift(decisionOf(entry));
      if (entry.version === "1") break;
      entry = await this.#read("decision", Number(entry.mod_revision) - 1);
    }
    return found;
  }

  /** The member of etcd that leads the others; undefined if they have none. */
  async leadingMember(): Promise<EtcdMember | undefined> {
    for (const member of this.#etcd.members) {
      try {
        const { header, leader } = await call(member, "maintenance/status", {});
        if (header.member_id === leader) return member;
      } catch {
        // It does not run.
      }
    }
    return undefined;
  }

  async #read(key: string, revision = 0): Promise<Entry | undefined> {
    let reason: unknown;
    for (const member of this.#etcd.members) {
      try {
        const asked = { key: btoa(this.#prefix + key), revision: String(revision) };
        return (await call(member, "kv/range", asked)).kvs?.[0];
      } catch (error) {
        reason = error;
      }
    }
    throw new Error(`etcd does not answer: ${reason}`);
  }
}

interface Answer {
  readonly header: { readonly member_id: string };
  readonly leader?: string;
  readonly kvs?: readonly Entry[];
}

async function call(member: EtcdMember, path: string, body: object): Promise<Answer> {
  const signal = AbortSignal.timeout(ASK_MS);
  const url = `${member.endpoint}/v3/${path}`;
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body), signal });
  const text = await response.text();
  if (!response.ok) throw new Error(`${member.endpoint} answered ${response.status}: ${text}`);
  return JSON.parse(text);
}

function decisionOf({ value, mod_revision }: Entry): StoredDecision {
  return { ...JSON.parse(atob(value)), revision: Number(mod_revision) };
}
