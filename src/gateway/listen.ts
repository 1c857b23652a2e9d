/**
 * What serves the gateway's app to clients: `http1/`'s server on a port or a unix socket. The port is
 * bound from the first moment and stays bound; nothing here knows whether an upstream is up.
 */
import { type Address, formatAddress } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { serveListener } from "../http1/conn_deno.ts";
import type { Deadlines } from "../http1/deadlines.ts";
import { Server } from "../http1/server.ts";
import type { GatewayEnv } from "./gateway.ts";

export interface ListenSettings {
  readonly address: Address;
  /** Clients at one time; further ones stay in the kernel's accept queue. */
  readonly connectionsMax: number;
  /** HTTPS if given. */
  readonly tls?: TlsFiles | undefined;
}

/** A certificate chain with its key, in PEM, and where they were read. */
export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
}

export interface ListenContext {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly publish: Publish;
  /** The gateway's app. */
  readonly app: (request: Request, env: GatewayEnv) => Response | Promise<Response>;
}

/** A port that is served. */
export interface Listening {
  /** Where it listens; the system's choice where the port was 0. */
  readonly address: Address;
  /** Resolves when `stop` is done; rejects for a bug. */
  readonly finished: Promise<void>;
  readonly connections: () => number;
  /**
   * Stops accepting, lets running exchanges finish for at most `drainMs` or until `now` is aborted, and
   * cuts the rest. Resolves with the number of connections cut.
   */
  stop(drainMs: number, now: AbortSignal): Promise<number>;
}

/** Tries whether the address is free, and leaves it free. The reason if it is not. */
export function tryListen(address: Address): string | undefined {
  try {
    bind(address).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? `${formatAddress(address)}: ${error.message}` : String(error);
  }
}

function bind(address: Address): Deno.Listener {
  if (address.kind === "unix") return Deno.listen({ transport: "unix", path: address.path });
  return Deno.listen({ hostname: address.host, port: address.port });
}

/** Serves plain HTTP. Throws what `Deno.listen` throws. */
export function listen(settings: ListenSettings, context: ListenContext): Listening {
  const { clock, deadlines, publish, app } = context;
  const listener = bind(settings.address);
  const address = boundTo(settings.address, listener);
  const server = new Server({
    deadlines,
    app: (request, { exchange }) => app(request, { exchange, scheme: "http" }),
    limits: { connectionsMax: settings.connectionsMax },
  });
  const text = formatAddress(address);
  const serving = serveListener(listener, server, {
    clock,
    onAcceptFailed: (error, retryInMs) =>
      publish({ type: "accept.failed", address: text, reason: String(error), retryInMs }),
  });
  publish({ type: "port.opened", address: text });
  return {
    address,
    finished: serving,
    connections: () => server.connections,
    async stop(drainMs, now) {
      closeListener(listener);
      publish({ type: "port.closed", address: text });
      return await drained(server, clock, drainMs, now);
    },
  };
}

function boundTo(asked: Address, listener: Deno.Listener): Address {
  const { addr } = listener;
  return addr.transport === "tcp" && asked.kind === "tcp" ? { ...asked, port: addr.port } : asked;
}

function closeListener(listener: Deno.Listener): void {
  try {
    listener.close();
  } catch (error) {
    // Stopping twice is no news.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** Lets the server drain until time is up. */
export async function drained(
  server: Server,
  clock: Clock,
  drainMs: number,
  now: AbortSignal,
): Promise<number> {
  const cut = new AbortController();
  const cancel = clock.after(drainMs, () => cut.abort());
  const cutNow = () => cut.abort();
  now.addEventListener("abort", cutNow, { once: true });
  if (now.aborted) cutNow();
  try {
    return await server.drain(cut.signal);
  } finally {
    cancel();
    now.removeEventListener("abort", cutNow);
  }
}
