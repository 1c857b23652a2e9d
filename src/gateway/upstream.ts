/** An upstream as the gateway reaches it: a server behind a pool of connections, or files of our own. */
import type { Upstream } from "../failover/upstream.ts";
import type { Pool } from "../http1/pool.ts";
import type { Origin, RequestRules } from "./headers.ts";

interface Numbered {
  /** Of all upstreams that the service has had no other one has this number; its rank where there is none. */
  readonly number?: number;
}

/** A server, with its connections and the rules by which requests to it are rewritten. */
export interface ServerUpstream extends Origin, Numbered {
  readonly kind: "server";
  readonly upstream: Upstream;
  readonly pool: Pool;
  readonly rules: RequestRules;
}

/** A folder or a page (`static/`), for which no connection is made. */
export interface StaticUpstream extends Numbered {
  readonly kind: "static";
  readonly upstream: Upstream;
  /** Answers any request. Resolves always; the body breaks with a Fault where a file changes meanwhile. */
  readonly respond: (request: Request) => Promise<Response>;
}

/** An upstream of HTTP mode. */
export type GatewayUpstream = ServerUpstream | StaticUpstream;

/** The name of an upstream toward clients: its rank, since its configured name may be confidential. */
export function publicNameOf({ rank }: Upstream): string {
  return rank === 0 ? "primary" : rank === 1 ? "backup" : `backup-${rank}`;
}
