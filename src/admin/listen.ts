/**
 * Serves the operator's window on an address of its own (`--admin`), by `http1/`'s server: a listener
 * that could be filled with half-sent heads would take the descriptors of the whole proxy with it. It is
 * bound once; a port that is taken is the operator's mistake, told at the start.
 */
import { type Address, formatAddress } from "../base/address.ts";
import { bind } from "../net/deno/bind.ts";
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { ServerTroubles } from "../events/server_troubles.ts";
import { serveListener } from "../net/deno/listener.ts";
import { Deadlines } from "../net/deadlines.ts";
import { serveFetch } from "../http1/fetch_app.ts";
import { Server } from "../http1/server.ts";

/** Operators, scrapers and live feeds at one time; further ones wait, and idle ones give way. */
export const ADMIN_CONNECTIONS_MAX = 64;

export interface AdminListener extends AsyncDisposable {
  /** Where it listens; the system's choice where the port was 0. */
  readonly address: Address;
  /** Resolves when it was disposed of; rejects for a bug. */
  readonly finished: Promise<void>;
}

/** What there is to serve: a Hono app fits. */
export interface FetchApp {
  fetch(request: Request): Response | Promise<Response>;
}

/**
 * Listens and serves, or says why it cannot listen: `address already in use`. Disposal closes every
 * connection at once; end the live feeds first, so that their readers get the last events.
 */
export async function listenAdmin(
  asked: Address,
  app: FetchApp,
  { clock, publish, socketMode, connectionsMax = ADMIN_CONNECTIONS_MAX }: {
    readonly clock: Clock;
    readonly publish: Publish;
    /** Permission bits for the file of a unix socket; without them umask(2) rules. */
    readonly socketMode?: number;
    /** Clients at one time; `ADMIN_CONNECTIONS_MAX` where it is missing. */
    readonly connectionsMax?: number;
  },
): Promise<AdminListener | string> {
  const listener = await bind(asked, { socketMode });
  if (typeof listener === "string") return listener;
  const { addr } = listener;
  const isTcp = addr.transport === "tcp" && asked.kind === "tcp";
  const address = isTcp ? { ...asked, port: addr.port } : asked;
  const text = formatAddress(address);
  const { onFault, onError, onFull } = new ServerTroubles(clock, publish);
  const server = new Server({
    deadlines: new Deadlines(clock),
    handler: (exchange) => serveFetch(exchange, (request) => app.fetch(request)),
    limits: { connectionsMax },
    onFault,
    onError,
    onFull,
  });
  const finished = serveListener(listener, server, {
    clock,
    onAcceptFailed: (error, retryInMs) =>
      publish({ type: "accept.failed", address: text, reason: String(error), retryInMs }),
    // Descriptors, mostly: those who are idle have some.
    onShortage: () => {
      while (server.giveWay());
    },
  });
  // Whoever cares awaits it; until then a bug must not count as unhandled.
  finished.catch(() => {});
  publish({ type: "port.opened", address: text });
  return {
    address,
    finished,
    async [Symbol.asyncDispose]() {
      listener.close();
      await server.drain(AbortSignal.abort());
      publish({ type: "port.closed", address: text });
    },
  };
}

/** True if only this machine can reach it over TCP: names other than its own are then refused. */
export function isLoopback(address: Address): boolean {
  if (address.kind === "unix") return false;
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(address.host);
}
