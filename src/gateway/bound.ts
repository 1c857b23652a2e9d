/**
 * Logins that belong to a connection: NTLM, and Negotiate as it is used in practice (RFC 4559 section 6). After
 * such a login the upstream treats every request on that connection as coming from the same user. So the
 * connection serves only the client connection on which the login was seen, and is closed together with it.
 */
import type { Fields } from "../http1/fields.ts";
import type { RequestHead, ResponseHead } from "../http1/head.ts";
import type { ConnectionOwner, UpstreamConn } from "../http1/upstream_conn.ts";
import type { Client } from "./downstream.ts";
import type { ServerUpstream } from "./upstream.ts";

/** How long such a connection may be idle, in milliseconds. A client connection has the same limit. */
const IDLE_MS = 75_000;

const SCHEMES = /(?:^|,)\s*(?:ntlm|negotiate)(?:[\s,]|$)/i;

function names(fields: Fields, lowerName: string): boolean {
  for (let at = fields.find(lowerName); at >= 0; at = fields.find(lowerName, at + 1)) {
    if (SCHEMES.test(fields.value(at))) return true;
  }
  return false;
}

/** True if this request or its response belongs to a login that is valid for the whole connection. */
export function isBoundLogin(
  request: Pick<RequestHead, "fields" | "semantics">,
  response: Pick<ResponseHead, "fields" | "semantics">,
): boolean {
  return request.semantics.login && names(request.fields, "authorization") ||
    response.semantics.login && names(response.fields, "www-authenticate");
}

/** Keeps a connection to an upstream for one client connection alone. */
export class BoundConnection implements ConnectionOwner {
  readonly #to: ServerUpstream;
  #idle: UpstreamConn | undefined;
  #isClosed = false;

  constructor(to: ServerUpstream) {
    this.#to = to;
  }

  /** The idle connection, if it leads to `to` and is still open; undefined otherwise. */
  take(to: ServerUpstream): UpstreamConn | undefined {
    const connection = this.#idle;
    if (connection === undefined || to !== this.#to) return undefined;
    this.#idle = undefined;
    if (connection.wake()) return connection;
    connection.close();
    return undefined;
  }

  keep(connection: UpstreamConn): boolean {
    if (this.#isClosed) return false;
    this.#idle = connection;
    connection.startIdle(IDLE_MS);
    return true;
  }

  forget(): void {
    this.#idle = undefined;
  }

  idleEnded(idleForMs: number): void {
    this.#to.pool.idleEnded(idleForMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#idle?.close();
    this.#idle = undefined;
  }
}

/** The idle connection that is reserved for this client, if it leads to `to` and is still open. */
export function boundTo(client: Client, to: ServerUpstream): UpstreamConn | undefined {
  const { companion } = client;
  return companion instanceof BoundConnection ? companion.take(to) : undefined;
}

/** Reserves `connection` for this client. A connection that was reserved for it before is closed. */
export function bindToClient(client: Client, connection: UpstreamConn, to: ServerUpstream): void {
  if (connection.owner instanceof BoundConnection) return;
  client.companion?.close();
  const bound = new BoundConnection(to);
  connection.owner = bound;
  client.companion = bound;
}
