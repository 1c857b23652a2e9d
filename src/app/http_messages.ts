/**
 * The messages between the main thread and the shards of an HTTP service, beside the orders that all shards get.
 * Plain data, for `postMessage`. Part of the composition root.
 */
import type { ClientTables } from "../net/client_limit.ts";
import { HTTP2_RULES } from "../base/http2_rules.ts";
import type { Address } from "../base/address.ts";
import type { HttpConfig } from "../config/options.ts";
import type { Target } from "../config/http_kinds.ts";
import type { LinesOutcome } from "../base/lines_outcome.ts";
import type { ErrorPage } from "../gateway/error_page.ts";
import type { HttpsSettings } from "../gateway/listen.ts";
import type { DialTls } from "../net/transport.ts";

/** The name of this kind of shards (`ShardSpec.kind`). */
export const HTTP = "http";

/** One number for each upstream, by rank: 1 if it may take an exchange before a switch is decided. */
export type StandIns = Int32Array<SharedArrayBuffer>;

/** What a shard gets at its start. */
export interface HttpShardSettings {
  readonly config: PlainConfig;
  readonly connectionsMax: number;
  /** The limit for each client, if there is one. */
  readonly clientTables?: ClientTables;
  readonly errorPage: ErrorPage;
  /** What the service calls itself in `Via`. */
  readonly pseudonym: string;
  readonly standIns: StandIns;
  /** By the name of each upstream: what counts it among all that the service has had. */
  readonly numbers: Readonly<Record<string, number>>;
  /** How HTTPS is served, if it is. */
  readonly https: HttpsSettings | undefined;
  /** How https upstreams are dialled. */
  readonly dialTls: DialTls;
}

/** To a shard. */
export type ToHttpShard =
  /** Where the listening socket listens; precedes the order `listen`. */
  | { readonly is: "address"; readonly address: Address }
  /** A connection without a request, which another process has accepted; its descriptor belongs to the shard. */
  | { readonly is: "connection"; readonly descriptor: number; readonly peer: string }
  /** There will be no more decisions. */
  | { readonly is: "final" }
  | { readonly is: "answer"; readonly id: number; readonly answer: HttpShardAnswer };

/** From a shard. Each question gets an answer of its kind, with the same number. */
export type FromHttpShard = { readonly id: number; readonly question: HttpShardQuestion };

/** What a shard asks the main thread. */
export type HttpShardQuestion =
  /** Whole lines for the access log at this path, which a reload may have replaced by another one meanwhile. */
  | { readonly about: "lines"; readonly path: string; readonly lines: Uint8Array<ArrayBuffer> }
  | { readonly about: "name"; readonly host: string }
  /** Whether another process goes on with this connection, which waits for a request. */
  | { readonly about: "passing"; readonly descriptor: number; readonly peer: string }
  /** A path of the admin endpoints. */
  | {
    readonly about: "request";
    readonly method: string;
    readonly url: string;
    readonly headers: readonly (readonly [string, string])[];
  };

/** The answer to the question with the same `about`. */
export type HttpShardAnswer =
  | ({ readonly about: "lines" } & LinesOutcome)
  | { readonly about: "name"; readonly ips: readonly string[] }
  | { readonly about: "passing"; readonly isTaken: boolean }
  | {
    readonly about: "request";
    readonly status: number;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: Uint8Array<ArrayBuffer> | null;
  };

/** A config whose URLs are text, because `postMessage` cannot send objects of that class. */
export type PlainConfig = Omit<HttpConfig, "primary" | "backup"> & {
  readonly targets: readonly PlainTarget[];
};
type PlainTarget = Target & { readonly url?: unknown };

/** The config as data that `postMessage` can send. */
export function plainConfig({ primary, backup, ...rest }: HttpConfig): PlainConfig {
  const targets = [primary, ...backup ?? []].map((target) =>
    target.kind === "url" ? { ...target, url: target.url.href as unknown as URL } : target
  );
  return { ...rest, targets };
}

/** The config from which `plainConfig` made this. */
export function httpConfigOf({ targets, ...rest }: PlainConfig): HttpConfig {
  const [primary, ...backup] = targets.map((target) =>
    target.kind === "url" ? { ...target, url: new URL(target.url) } : target
  );
  return { ...rest, primary, backup } as HttpConfig;
}

/** The counters of a shard, in the order of its memory. */
export const HTTP_COUNTERS = [
  "active",
  "held",
  "requests",
  "released",
  "retried",
  "lost",
  "faulted",
  "abandoned",
  "cut",
  "accessLinesLost",
  "overLimit",
  "unannounced",
  "clientSentBytes",
  "clientReceivedBytes",
  "longestHoldMs",
  "accepted",
  "refused",
  "handshakes",
  "resumed",
  "handshakesFailed",
  ...Object.keys(HTTP2_RULES) as (keyof typeof HTTP2_RULES)[],
] as const;

/** A thread died: its exchanges are lost. Returns how many there were. */
export function accountForDeadHttpShard(counters: Float64Array): number {
  const active = counters[HTTP_COUNTERS.indexOf("active")]!;
  counters[HTTP_COUNTERS.indexOf("lost")]! += active;
  counters[HTTP_COUNTERS.indexOf("active")] = counters[HTTP_COUNTERS.indexOf("held")] = 0;
  return active;
}
