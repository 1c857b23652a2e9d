/**
 * What is remembered of one exchange over all its attempts, and of the one attempt that an upstream is
 * working on.
 */
import type { Fault, FaultName } from "../base/fault.ts";
import type { Reply, UpstreamConn } from "../http1/upstream_conn.ts";
import { type KeptTotal, RequestBody } from "./body.ts";
import type { Client } from "./downstream.ts";
import { isRepeatable, type Stage } from "./retry.ts";
import type { Attempt } from "./running.ts";
import type { Tunnel } from "./upgrade.ts";

/** What of the operator's wishes an exchange must know from its beginning. */
export interface RequestSettings {
  /** Bytes in a request body. */
  readonly bodyMax: number;
  /** Whether an `Idempotency-Key` makes any request repeatable. */
  readonly honourIdempotencyKey: boolean;
}

/** One exchange, over all its attempts. */
export class RequestState {
  readonly body: RequestBody | undefined;
  readonly isRepeatable: boolean;
  attempts = 0;
  /** Places taken in the budget of repeats. */
  repeats = 0;
  /** How often something of it was sent, in attempts that failed. */
  deliveries = 0;
  /** How often something was short on this machine. */
  shortages = 0;
  refreshed = false;
  /** Why the last attempt failed. */
  reason: FaultName | undefined;
  /** When its waiting must end; set by the first wait. */
  holdBy: number | undefined;
  /** Upstreams that failed it since its last wait. */
  failed: readonly string[] = [];
  /** What to do at present if the client leaves. */
  onGone: ((fault: Fault) => void) | undefined;

  constructor(
    readonly client: Client,
    readonly scheme: "http" | "https",
    settings: RequestSettings,
    kept: KeptTotal,
  ) {
    const { head, body } = client;
    const isHonoured = settings.honourIdempotencyKey && head.fields.find("idempotency-key") >= 0;
    this.isRepeatable = isRepeatable(head.method, isHonoured);
    this.body = body.none
      ? undefined
      : new RequestBody(body, settings.bodyMax, this.isRepeatable, kept);
    client.whenGone = (fault) => this.onGone?.(fault);
  }
}

/** A request that an upstream has, until its response has gone through. */
export class ServerAttempt implements Attempt {
  place = -1;
  count = 0;
  at = 0;
  reply: Reply | undefined;
  tunnel: Tunnel | undefined;

  constructor(
    readonly upstream: string,
    readonly epoch: number,
    readonly connection: UpstreamConn,
    readonly state: RequestState,
  ) {}

  moved(): number {
    const { reply, tunnel, state } = this;
    const up = (state.body?.received ?? 0) + (tunnel?.count.fromClient ?? 0);
    const down = (reply?.body.received ?? 0) + (tunnel?.count.fromUpstream ?? 0);
    return up + down + (reply === undefined ? 0 : 1);
  }

  cut(fault: Fault): void {
    if (this.tunnel !== undefined) this.tunnel.cut();
    else this.connection.abort(fault);
  }

  /** How far it has come, once it has failed. */
  stage(): Stage {
    const { connection, state } = this;
    if (!connection.requestStarted) return "nothingSent";
    if (connection.responseStarted) return "responseStarted";
    return state.isRepeatable ? "sentSafe" : "sentUnsafe";
  }
}
