/**
 * What serves the gateway's app to clients: `http1/`'s server on a port or a unix socket. The port is
 * bound from the first moment and stays bound; nothing here knows whether an upstream is up.
 */
import { type Address, formatAddress } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import { ServerTroubles } from "../events/server_troubles.ts";
import type { Deadlines } from "../http1/deadlines.ts";
import { Server } from "../http1/server.ts";
import type { ListeningPort, Sockets } from "../http1/sockets.ts";
import type { GatewayEnv } from "./gateway.ts";
import { Http2 } from "./http2.ts";
import { type TlsFiles, TlsListener } from "./listen_tls.ts";

export interface ListenSettings {
  readonly address: Address;
  /** Clients at one time; a few more are let in to wait, the others stay in the kernel's queue. */
  readonly connectionsMax: number;
  /** Permission bits for the file of a unix socket; without them umask(2) rules. */
  readonly socketMode?: number;
  /** HTTPS if given. */
  readonly tls?: TlsFiles | undefined;
}

export interface ListenContext {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly publish: Publish;
  /** Where plain connections come from. */
  readonly sockets: Sockets;
  /** The gateway's app. */
  readonly app: (request: Request, env: GatewayEnv) => Response | Promise<Response>;
}

export interface ListenCounters {
  /** Clients so far. */
  readonly accepted: number;
  /** Requests refused by the server itself. */
  readonly refused: number;
  /** Exchanges and connections that a bug of ours ended. */
  readonly broken: number;
}

/** A port that is served. */
export interface Listening {
  /** Where it listens; the system's choice where the port was 0. */
  readonly address: Address;
  /** Resolves when `stop` is done; rejects for a bug. */
  readonly finished: Promise<void>;
  readonly connections: () => number;
  /** What the server counts, beside what the gateway does. */
  counters(): ListenCounters;
  /**
   * Stops accepting, lets running exchanges finish for at most `drainMs` or until `now` is aborted, and
   * cuts the rest. Resolves with the number of connections cut.
   */
  stop(drainMs: number, now: AbortSignal): Promise<number>;
}

/** Serves HTTP, or HTTPS where there is a certificate. Resolves with the reason where it cannot. */
export async function listen(
  settings: ListenSettings,
  context: ListenContext,
): Promise<Listening | string> {
  const { clock, deadlines, publish, sockets, app } = context;
  const { connectionsMax, tls } = settings;
  const socketMode = settings.socketMode === undefined ? {} : { socketMode: settings.socketMode };
  const scheme = tls === undefined ? "http" : "https";
  const troubles = new ServerTroubles(clock, publish);
  const server = new Server({
    deadlines,
    app: (request, { exchange }) => app(request, { exchange, scheme }),
    limits: { connectionsMax },
    isOwn,
    onFault: troubles.onFault,
    onError: troubles.onError,
    onFull: troubles.onFull,
  });
  const onAcceptFailed = (error: unknown, retryInMs: number) =>
    publish({ type: "accept.failed", address: text, reason: String(error), retryInMs });
  const port: Port | string = tls === undefined
    ? await sockets.listen(settings.address, server, { clock, onAcceptFailed, ...socketMode })
    : await tlsPort(settings.address, tls, app, context, {
      server,
      connectionsMax,
      onAcceptFailed,
    });
  if (typeof port === "string") return port;
  const text = formatAddress(port.address);
  publish({ type: "port.opened", address: text });
  return {
    address: port.address,
    finished: port.finished,
    connections: () => server.connections + (port.others?.() ?? 0),
    counters: () => {
      const { refused, broken } = troubles;
      return { accepted: server.accepted, refused, broken };
    },
    async stop(drainMs, now) {
      port.close();
      publish({ type: "port.closed", address: text });
      return await untilTimeIsUp(
        async (cut) => {
          const cuts = await Promise.all([server.drain(cut), port.drainOthers?.(cut) ?? 0]);
          return cuts[0] + cuts[1];
        },
        clock,
        drainMs,
        now,
      );
    },
  };
}

/** Our own endpoints answer also where there is no place left for anything else. */
function isOwn(path: string): boolean {
  return path.startsWith("/__failover/");
}

/** What accepts, and whatever it serves beside the server. */
interface Port extends ListeningPort {
  readonly others?: () => number;
  drainOthers?(cut: AbortSignal): Promise<number>;
}

async function tlsPort(
  asked: Address,
  files: TlsFiles,
  app: ListenContext["app"],
  { clock, deadlines, publish }: ListenContext,
  parts: Pick<
    ConstructorParameters<typeof TlsListener>[3],
    "server" | "connectionsMax" | "onAcceptFailed"
  >,
): Promise<Port | string> {
  if (asked.kind === "unix") return "HTTPS is not served on a unix socket";
  const http2 = new Http2(deadlines, app);
  const onReload = (trouble: string) =>
    publish({ type: "config.warned", warning: `the old certificate stays in use: ${trouble}` });
  let listener: TlsListener;
  try {
    const all = { clock, http2, onReload, ...parts };
    listener = new TlsListener(asked.host, asked.port, files, all);
  } catch (error) {
    // The address is taken, or the certificate and its key are none.
    await http2.drain(AbortSignal.abort());
    return error instanceof Error ? error.message : String(error);
  }
  return {
    address: { ...asked, port: listener.port },
    finished: listener.finished,
    others: () => http2.connections,
    close: () => listener.close(),
    drainOthers: (cut) => http2.drain(cut),
  };
}

/** Runs `drain`, whose signal is aborted after `drainMs`, or with `now`. */
async function untilTimeIsUp(
  drain: (cut: AbortSignal) => Promise<number>,
  clock: Clock,
  drainMs: number,
  now: AbortSignal,
): Promise<number> {
  const cut = new AbortController();
  const cutNow = () => cut.abort();
  const cancel = clock.after(drainMs, cutNow);
  now.addEventListener("abort", cutNow, { once: true });
  if (now.aborted) cutNow();
  try {
    return await drain(cut.signal);
  } finally {
    cancel();
    now.removeEventListener("abort", cutNow);
  }
}
