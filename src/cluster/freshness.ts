/**
 * Whether an answer of etcd may be used. A member that was cut off or restored from an old copy answers with
 * a lower revision or term than one seen before, and another cluster with another number: what such an answer
 * says was true once, and a decision must not be made from it.
 */
import { numberIn, textIn } from "./gateway_json.ts";

/** The newest revision and term that an answer had. */
export interface Mark {
  readonly revision: number;
  readonly term: number;
}

/** What was seen so far. */
export class Freshness {
  #cluster = "";
  #mark: Mark = { revision: 0, term: 0 };

  /** The newest so far; taken before a call is sent, since answers may overtake each other. */
  get mark(): Mark {
    return this.#mark;
  }

  /**
   * Why the answer with this header must not be used, for a person; undefined if it may be. `sent` is the
   * mark when the call was sent; undefined for calls about leases, which a member answers that has not
   * read everything yet.
   */
  objection(header: Readonly<Record<string, unknown>>, sent: Mark | undefined): string | undefined {
    const cluster = textIn(header, "cluster_id");
    if (this.#cluster !== "" && cluster !== this.#cluster) {
      return `it belongs to another cluster (${cluster}) than before (${this.#cluster})`;
    }
    this.#cluster = cluster;
    if (sent === undefined) return undefined;
    const revision = numberIn(header, "revision");
    const term = numberIn(header, "raft_term");
    if (term < sent.term) {
      return `its term is ${term}, but ${sent.term} was seen before: it is behind, or was restored from an old copy`;
    }
    if (revision < sent.revision) {
      return `its revision is ${revision}, but ${sent.revision} was seen before: it is behind, or was restored from an old copy`;
    }
    this.#mark = {
      revision: Math.max(this.#mark.revision, revision),
      term: Math.max(this.#mark.term, term),
    };
    return undefined;
  }
}
