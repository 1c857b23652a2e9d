/**
 * An upgraded connection (WebSocket or any other protocol, RFC 9110 section 7.8): after the upstream's 101
 * the gateway moves bytes and understands none of them.
 */
import type { UpstreamConn } from "../http1/upstream_conn.ts";
import type { Conn } from "../net/conn.ts";
import { tunnel, type TunnelCount } from "../net/tunnel.ts";

/** A tunnel under way. */
export interface Tunnel {
  readonly count: TunnelCount;
  /** Resolves when both directions have ended. */
  readonly finished: Promise<void>;
  /** Ends it at once with a reset to both sides, where the sockets allow that. */
  cut(): void;
}

/** Joins the client to an upstream that has answered 101. Closes the upstream's side at the end. */
export function joinUpgraded(client: Conn, connection: UpstreamConn): Tunnel {
  const upstream = connection.detach();
  const count: TunnelCount = { fromClient: 0, fromUpstream: 0 };
  return {
    count,
    finished: tunnel(client, upstream, count).then(() => connection.close()),
    cut() {
      client.reset();
      upstream.reset();
    },
  };
}
