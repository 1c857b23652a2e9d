/**
 * The contract of all relay engines: settings, orders and counters, so that hold, open and drain mean the same
 * in all of them. An engine is the TCP data plane of one service.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { Histogram } from "../base/histogram.ts";
import type { Publish } from "../events/events.ts";
import type { DataPlane, Doubt } from "../failover/ports.ts";
import type { GoOn, Parcel, PassedListener, ReceivedPort } from "../net/handover.ts";
import type { ClientTables } from "../net/client_limit.ts";
import type { ProxyVersions } from "../net/proxy_protocol.ts";
import type { Resolver } from "../net/resolve.ts";

/**
 * An upstream that ended before any byte is asked about only after this. The connections of a killed
 * process end some milliseconds before its port does (up to 9 were measured): a probe within that time
 * would pass, and the client would get an empty response.
 */
export const SETTLE_MS = 50;

/** What the operator has set about a TCP service. */
export interface RelaySettings {
  /** Where clients connect. Host `::` means all interfaces, IPv6 and IPv4. */
  readonly bind: Address;
  /** How long one attempt to connect to the upstream may take, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** A session in which no byte moved either way for this time, in milliseconds, is ended; 0 means never. */
  readonly idleTimeoutMs: number;
  /** The longest that one client waits for an upstream, over all attempts and holds, in milliseconds. */
  readonly holdMs: number;
  /** Accepted clients that may wait at one time; further ones stay in the kernel's accept queue. */
  readonly heldMax: number;
  /** Clients at one time, waiting ones included; further ones stay in the kernel's accept queue. */
  readonly connectionsMax: number;
  /** The limit for each client, with its tables; none where it is missing. */
  readonly clientTables?: ClientTables;
  /** Pipes that one worker may have at one time, two descriptors each; 1000 where it is missing. */
  readonly pipesMax?: number;
  /** Threads that share the work, in an engine that has threads. */
  readonly workers: number;
  /** Permission bits for the file of a unix socket that is listened on; without them umask(2) decides. */
  readonly socketMode?: number;
  /** PROXY protocol header to begin each upstream connection with. */
  readonly sendProxy: "none" | "v1" | "v2";
  /** Versions of the PROXY protocol header that clients begin with; they begin with none if it is missing. */
  readonly acceptProxy?: ProxyVersions;
}

/** What an engine gets from its owner. */
export interface RelayContext {
  readonly clock: Clock;
  readonly publish: Publish;
  /** Reports to the controller that a live connection failed. Returns at once. */
  readonly doubt: (doubt: Doubt) => void;
  /** Finds the addresses of names; the resolver of the process if missing. */
  readonly resolver?: Resolver;
  /** The listening socket, if another process has left it to this one. */
  readonly received?: ReceivedPort;
}

/** Read on each scrape. All but `active` and `held` only grow. */
export interface RelayCounters {
  /** Clients accepted. */
  readonly accepted: number;
  /** Connections closed at once, because their client had too many. */
  readonly overLimit: number;
  /** Connections closed because they lacked the PROXY protocol header. */
  readonly unannounced: number;
  /** Sessions joined to an upstream right now. */
  readonly active: number;
  /** Clients waiting for an upstream right now. */
  readonly held: number;
  /** Clients that waited for a failover and then got an upstream. */
  readonly released: number;
  /** Clients that were closed without any byte relayed. */
  readonly lost: number;
  /** Clients that left by themselves while they waited. */
  readonly abandoned: number;
  /** Sessions ended by us because their upstream went down. */
  readonly cut: number;
  /** Bytes from clients to upstreams. */
  readonly clientSentBytes: number;
  /** Bytes from upstreams to clients. */
  readonly clientReceivedBytes: number;
  /** The longest that any client waited for an upstream, in milliseconds. */
  readonly longestHoldMs: number;
}

/** An engine that runs. Its port is closed until the first `open` or `hold`. */
export interface Relay extends DataPlane, AsyncDisposable {
  /** `stream` or `splice`: for the log and `--version`. */
  readonly engine: string;
  /**
   * Stops accepting, turns away clients that wait, and lets sessions end by themselves for at most
   * `drainMs`; `now` ends them at once. Resolves with the number of sessions that had to be cut.
   */
  stop(drainMs: number, now: AbortSignal): Promise<number>;
  /** Its listening socket while its port is open, in an engine that can hand it over. */
  passed?(): Pick<PassedListener, "descriptor" | "isLent"> | undefined;
  /**
   * As `stop`, after another process has taken over the listening socket. Each session is offered to `passOn` and goes
   * on in that process if that resolves with true; the others may end here within `drainMs`.
   */
  leave?(
    passOn: (parcel: Parcel) => Promise<boolean>,
    drainMs: number,
    now: AbortSignal,
  ): Promise<number>;
  /**
   * What continues a session of the process before this one; undefined if this engine cannot. The descriptors are the
   * caller's until it is called.
   */
  receive?(parcel: Parcel): GoOn | undefined;
  /**
   * Puts other settings into force for new clients, and as far as possible for the sessions that there are, which all
   * stay. The address, `workers`, `socketMode`, `acceptProxy` and whether there are `clientTables` must not change.
   * Resolves when they are in force.
   */
  configure(settings: RelaySettings): Promise<void>;
  counters(): RelayCounters;
  /** How long clients waited for an upstream, however that ended; those that never waited are left out. */
  holdTimes(): Histogram;
  /** Resolves when the engine has stopped; rejects if a bug ended it. */
  readonly finished: Promise<void>;
}

/** An engine that cannot run here, and why: `needs Linux`, `FFI is not permitted`. */
export class EngineUnavailable {
  constructor(readonly reason: string) {}
}

/** Makes an engine, with its port closed; an `EngineUnavailable` if it cannot run here. */
export type StartEngine = (
  settings: RelaySettings,
  context: RelayContext,
) => Relay | EngineUnavailable;

/**
 * TCP_USER_TIMEOUT (tcp(7)) of a service's sockets, in milliseconds; 0 leaves it to the system. The idle timeout
 * applies also to a peer that acknowledges nothing, but it must not shorten a connect. Without an idle timeout
 * the system's default holds: a reader that pauses for minutes must not be taken for dead.
 */
export function userTimeoutOf({ idleTimeoutMs, connectTimeoutMs }: RelaySettings): number {
  return idleTimeoutMs === 0 ? 0 : Math.max(idleTimeoutMs, connectTimeoutMs);
}
