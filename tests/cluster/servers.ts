/** What a cluster of proxies stands in front of: two servers that take writes, of one kind or another. */
import type { Flags } from "../harness/proxy.ts";
import type { Link } from "./writer.ts";

/** One server. */
export interface Server {
  /** As the proxies know it. */
  readonly name: string;
  /** Ends it as a loss of power would; it stays down until `start`. */
  kill(): Promise<void>;
  /** It may run again. */
  start(): Promise<void>;
}

/** A server that tests can stop and continue. */
export interface StoppableServer extends Server {
  /** Stops all of its processes; connections stay open. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

/** The decision in etcd, as far as an agent beside the servers needs it. */
export interface Decided {
  readonly to: string;
  readonly phase: string;
}

/** A pair of servers. */
export interface Servers extends AsyncDisposable {
  readonly first: Server;
  readonly second: Server;
  /** Flags that the proxies need for them. */
  readonly flags: Flags;
  /** What the trigger does to make `FAILOVER_TO` the primary, in sh; it fails if that fails. */
  readonly promote: string;
  /** How long a writer pauses between two writes, and how many it makes on one connection. */
  readonly pace: { readonly pauseMs: number; readonly perLink: number };
  /** A connection through the proxy at `address`, on which rows are written. */
  open(address: string): Promise<Link>;
  /** All rows on the server of this name. */
  rows(name: string): Promise<ReadonlySet<string>>;
  /**
   * Begins what an operator's agent does: `decided` reads the decision, and rejects if that is not known for
   * certain. A server that is not the primary any more becomes a standby again.
   */
  attend?(decided: () => Promise<Decided | undefined>): void;
}
