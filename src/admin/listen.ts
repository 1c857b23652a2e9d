/**
 * Serves the admin endpoints on a separate address (`--admin`), with the server of `http1/`: it has deadlines
 * and a limit of connections, so that half-sent requests cannot use up the descriptors of the proxy. The
 * address is bound once, and a port that is in use is reported as an error at the start.
 */
import { type Address, formatAddress } from "../base/address.ts";
import { bind } from "../net/deno/bind.ts";
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { ServerTroubles } from "../events/server_troubles.ts";
import { leaveListener, type PassedSocket, passedSocket } from "../net/deno/passed_listener.ts";
import type { ReceivedPort } from "../net/handover.ts";
import { serveListener } from "../net/deno/listener.ts";
import { Deadlines } from "../net/deadlines.ts";
import { serveFetch } from "../http1/fetch_app.ts";
import { Server } from "../http1/server.ts";

/**
 * Most connections at one time: operators, scrapers and live feeds. Further ones wait, and idle ones are
 * closed for them.
 */
export const ADMIN_CONNECTIONS_MAX = 64;

/** An open listener. Disposal closes it and its connections at once. */
export interface AdminListener extends AsyncDisposable {
  /** The bound address, with the system's choice if the port was 0. */
  readonly address: Address;
  /** Resolves after disposal; rejects because of a bug. */
  readonly finished: Promise<void>;
  /** Its socket, where that can be handed over to another process. */
  passed(): PassedSocket | undefined;
  /** Accepts no more: another process has the socket. Connections end as at disposal. */
  leave(): void;
}

/** What the app gets beside a request (Hono's bindings). */
export interface AdminEnv {
  /** The client: its IP address, `unix`, or a better name that the listener knows. */
  readonly peer: string;
}

/** The app to serve; a Hono app has this type. */
export interface FetchApp {
  fetch(request: Request, env?: AdminEnv): Response | Promise<Response>;
}

/** The server of the app, for one listener. */
export function adminServer(
  app: FetchApp,
  { clock, publish, connectionsMax = ADMIN_CONNECTIONS_MAX }: {
    readonly clock: Clock;
    readonly publish: Publish;
    readonly connectionsMax?: number;
  },
): Server {
  const { onFault, onError, onFull } = new ServerTroubles(clock, publish);
  return new Server({
    deadlines: new Deadlines(clock),
    handler: (exchange) =>
      serveFetch(exchange, (request) => app.fetch(request, { peer: exchange.peer })),
    limits: { connectionsMax },
    onFault,
    onError,
    onFull,
  });
}

/**
 * Listens and serves, or resolves with the reason why it cannot, such as `address already in use`. Disposal
 * closes every connection at once; end the live feeds first, so that their readers get the last events.
 */
export async function listenAdmin(
  asked: Address,
  app: FetchApp,
  { clock, publish, socketMode, received, connectionsMax = ADMIN_CONNECTIONS_MAX }: {
    readonly clock: Clock;
    readonly publish: Publish;
    /** Permission bits for the file of a unix socket; by default those that umask(2) leaves. */
    readonly socketMode?: number;
    /** The socket that another process has left for this address. */
    readonly received?: ReceivedPort | undefined;
    /** Most connections at one time; by default `ADMIN_CONNECTIONS_MAX`. */
    readonly connectionsMax?: number;
  },
): Promise<AdminListener | string> {
  const warn = (warning: string) => publish({ type: "config.warned", warning });
  const listener = await bind(asked, { socketMode, received, warn });
  if (typeof listener === "string") return listener;
  const { addr } = listener;
  const isTcp = addr.transport === "tcp" && asked.kind === "tcp";
  const address = isTcp ? { ...asked, port: addr.port } : asked;
  const text = formatAddress(address);
  const server = adminServer(app, { clock, publish, connectionsMax });
  const finished = serveListener(listener, server, {
    clock,
    onAcceptFailed: (error, retryInMs) =>
      publish({ type: "accept.failed", address: text, reason: String(error), retryInMs }),
    // Usually descriptors are short: closing idle connections frees some.
    onShortage: () => {
      while (server.giveWay());
    },
  });
  // The caller may await `finished` later; until then a rejection must not count as unhandled.
  finished.catch(() => {});
  publish({ type: "port.opened", address: text });
  const cut = new AbortController();
  let isLeft = false;
  return {
    address,
    finished,
    passed: () => isLeft ? undefined : passedSocket(listener),
    leave() {
      isLeft = true;
      leaveListener(listener);
      // Kept connections end, so that their clients come to the other process.
      void server.drain(cut.signal);
    },
    async [Symbol.asyncDispose]() {
      if (!isLeft) listener.close();
      cut.abort();
      await server.drain(AbortSignal.abort());
      publish({ type: "port.closed", address: text });
    },
  };
}
