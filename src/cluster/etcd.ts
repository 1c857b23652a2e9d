/**
 * What the coordination needs of etcd: one store of keys, changed by transactions, with leases. `EtcdClient`
 * is the real one; the simulation has a model in memory. Every call resolves or rejects within a deadline.
 */

/** One key. Revisions are numbers of the whole store that only grow. */
export interface KeyEntry {
  readonly value: string;
  /** The revision of its last change. */
  readonly modRevision: number;
  /** The revision at which it was made. */
  readonly createRevision: number;
  /** The lease that it belongs to; undefined if it stays. */
  readonly lease: string | undefined;
}

/** All keys of a prefix at one revision of the store. */
export interface Reading {
  readonly revision: number;
  /** By key, without the prefix. */
  readonly entries: ReadonlyMap<string, KeyEntry>;
}

/** What must be true for a transaction to change anything. Revision 0 means that the key does not exist. */
export type Condition =
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly createRevision: number }
  | { readonly key: string; readonly value: string };

/** A change that a transaction makes. */
export type KeyChange =
  | { readonly put: string; readonly value: string; readonly lease?: string }
  | { readonly remove: string };

/** Whether a transaction changed the store, and the revision of the store after it. */
export interface TxnResult {
  readonly succeeded: boolean;
  readonly revision: number;
}

/**
 * A failed call. `unreachable`: no endpoint gave an answer, and a change may have been made or not.
 * `refused`: etcd answered that it does not do this. `stale`: the answer is from an older or another
 * cluster than one seen before. `leaseGone`: the lease of a change has ended, so nothing was changed.
 */
export class EtcdError extends Error {
  constructor(
    readonly kind: "unreachable" | "refused" | "stale" | "leaseGone",
    message: string,
  ) {
    super(message);
    this.name = "EtcdError";
  }
}

/** A store of keys. All keys are relative to the prefix with which the store was made. */
export interface Etcd extends Partial<Disposable> {
  /** Reads all keys, after every change that was acknowledged to anybody before. */
  read(): Promise<Reading>;
  /** Makes all changes if every condition is true, else none. Never repeated by itself. */
  transact(conditions: readonly Condition[], changes: readonly KeyChange[]): Promise<TxnResult>;
  /** Makes a lease that ends `ttlS` seconds after its last renewal. */
  grant(ttlS: number): Promise<{ readonly id: string; readonly ttlS: number }>;
  /** Renews a lease; resolves with its seconds, or 0 if it has ended. */
  renew(lease: string): Promise<number>;
  /** Ends a lease and removes its keys. Resolves also if it has ended before. */
  revoke(lease: string): Promise<void>;
  /**
   * Calls `onChange` when the watch is in force and after each change of a key. Resolves or rejects when
   * the watch ends, which may be at any time; it resolves after an abort.
   */
  watch(onChange: () => void, signal: AbortSignal): Promise<void>;
  /** Why endpoints have failed since the last answer, for a person; undefined if none has, or if it is not recorded. */
  readonly trouble?: string | undefined;
}
