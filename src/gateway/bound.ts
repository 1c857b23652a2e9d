/**
 * Logins that belong to a connection (NTLM, and Negotiate as it is used, RFC 4559 section 6): after them
 * the upstream takes whatever comes over that connection for the same person's. So such a connection serves
 * the one client connection on which the login was seen, and is closed with it.
 */
import type { Fields } from "../http1/fields.ts";
import type { ResponseHead } from "../http1/head.ts";

import type { Keeper, UpstreamConn } from "../http1/upstream_conn.ts";
import type { Client } from "./downstream.ts";
import type { ServerUpstream } from "./upstream.ts";

/** How long such a connection rests; its client's own limit is the same. */
const REST_MS = 75_000;

const SCHEMES = /(?:^|,)\s*(?:ntlm|negotiate)(?:[\s,]|$)/i;

function names(fields: Fields, lowerName: string): boolean {
  for (let at = fields.find(lowerName); at >= 0; at = fields.find(lowerName, at + 1)) {
    if (SCHEMES.test(fields.value(at))) return true;
  }
  return false;
}

/** True if this request or its response is part of a login that holds for the whole connection. */
export function isBoundLogin(request: Fields, { fields }: ResponseHead): boolean {
  return names(request, "authorization") || names(fields, "www-authenticate");
}

/** A connection to an upstream that one client connection has for itself. */
export class BoundConnection implements Keeper {
  readonly #to: ServerUpstream;
  #resting: UpstreamConn | undefined;
  #isClosed = false;

  constructor(to: ServerUpstream) {
    this.#to = to;
  }

  /** The connection, if it leads to `to` and still stands. */
  take(to: ServerUpstream): UpstreamConn | undefined {
    const connection = this.#resting;
    if (connection === undefined || to !== this.#to) return undefined;
    this.#resting = undefined;
    if (connection.wake()) return connection;
    connection.close();
    return undefined;
  }

  keep(connection: UpstreamConn): boolean {
    if (this.#isClosed) return false;
    this.#resting = connection;
    connection.rest(REST_MS);
    return true;
  }

  lose(): void {
    this.#resting = undefined;
  }

  sawEnd(restedMs: number): void {
    this.#to.pool.sawEnd(restedMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#resting?.close();
    this.#resting = undefined;
  }
}

/** The connection that this client has for itself, if it leads to `to`. */
export function boundTo(client: Client, to: ServerUpstream): UpstreamConn | undefined {
  const { companion } = client;
  return companion instanceof BoundConnection ? companion.take(to) : undefined;
}

/** Gives `connection` to this client alone. */
export function bind(client: Client, connection: UpstreamConn, to: ServerUpstream): void {
  if (connection.keeper instanceof BoundConnection) return;
  client.companion?.close();
  const bound = new BoundConnection(to);
  connection.keeper = bound;
  client.companion = bound;
}
