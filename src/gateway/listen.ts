/**
 * Serves the gateway to clients: HTTP or HTTPS on a port or a unix socket. The port is bound from the start
 * to the end of the service, whether or not an upstream is up.
 */
import { type Address, formatAddress } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import type { Fault } from "../base/fault.ts";
import type { Http2Counts } from "../base/http2_rules.ts";
import type { Semaphore } from "../base/semaphore.ts";
import { withDeadline } from "../base/deadline.ts";
import type { Publish } from "../events/events.ts";
import { ServerTroubles } from "../events/server_troubles.ts";
import type { Deadlines } from "../net/deadlines.ts";
import { Server, type ServerOptions } from "../http1/server.ts";
import type { ServerLimits } from "../http1/server_limits.ts";
import { AcceptProxy, MissingHeaders } from "../net/accept_proxy.ts";
import type { PassedListener, ReceivedPort } from "../net/handover.ts";
import type { ProxyVersions } from "../net/proxy_protocol.ts";
import type { ClientLimit } from "../net/client_limit.ts";
import type { Conn } from "../net/conn.ts";
import type { Acceptee, ListeningPort, Sockets } from "../net/transport.ts";
import type { AccessLog } from "./access_log.ts";
import type { Serve } from "./downstream.ts";
import { isReservedPath } from "./reserved_path.ts";
import type { Http2, Http2Parts } from "./tls/http2.ts";
import type { Https, HttpsServerSettings } from "./tls/https.ts";
import type { TlsFiles } from "./tls/listen_tls.ts";

/** Limits that an operator may change. */
export type ClientLimits = Partial<
  Pick<ServerLimits, "headMs" | "idleMs" | "bodyMs" | "writeMs" | "headBytesMax">
>;

/** How HTTPS is served. */
export interface HttpsSettings {
  /** At least one; the first is the default. Deno's TLS takes no other. */
  readonly certificates: readonly TlsFiles[];
  /** Certificates of the authorities by which clients must be certified, in PEM; not with Deno's TLS. */
  readonly clientCa?: string | undefined;
  /** Encrypts session tickets, the same in all threads; not with Deno's TLS. */
  readonly ticketKeys: Uint8Array<ArrayBuffer>;
}

/** Where clients connect, and what they may do. */
export interface ListenSettings {
  readonly address: Address;
  /** Connections at one time. A few more are accepted, to wait; the others stay in the kernel's queue. */
  readonly connectionsMax: number;
  /** Versions of the PROXY protocol header that connections begin with; they begin with none if it is missing. */
  readonly acceptProxy?: ProxyVersions;
  /** Limits for clients; `SERVER_LIMITS` where they are missing. */
  readonly limits?: ClientLimits;
  /** Permission bits for the file of a unix socket; without them umask(2) decides. */
  readonly socketMode?: number;
  /** The socket that another process has left for this address. */
  readonly received?: ReceivedPort | undefined;
  /** HTTP/2 is spoken as well to clients that begin with its preface; off by default, and with TLS, which has ALPN. */
  readonly h2c?: boolean;
  /** HTTPS if given. */
  readonly tls?: HttpsSettings | undefined;
}

/** What a port of the gateway needs from outside. */
export interface ListenContext {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly publish: Publish;
  /** Where plain connections come from. */
  readonly sockets: Sockets;
  /** Limits the connections, where the limit is shared with other threads. */
  readonly semaphore?: Semaphore;
  /** Answers one request: `Gateway.serve`. */
  readonly serve: Serve;
  /** How many connections one client may have; no limit where it is missing. */
  readonly clientLimit?: ClientLimit;
  /** Gets a line for each request that the server itself refused. */
  readonly accessLog?: AccessLog;
}

/** Counts of one port since it was opened. */
export interface ListenCounters extends Http2Counts {
  /** Connections so far. */
  readonly accepted: number;
  /** Requests refused by the server itself. */
  readonly refused: number;
  /** Connections closed at once, because their client had too many. */
  readonly overLimit: number;
  /** Connections closed because they lacked the PROXY protocol header. */
  readonly unannounced: number;
  /** Exchanges and connections that a bug ended, without those that the gateway counts itself. */
  readonly faulted: number;
  /** TLS handshakes that succeeded, those of them that resumed a session, and those that failed. */
  readonly handshakes: number;
  readonly resumed: number;
  readonly handshakesFailed: number;
}

/** What can change at a port that is open. */
export interface PortChange {
  readonly connectionsMax: number;
  readonly limits?: ClientLimits;
  /** Connections that one client may have, where that is limited. */
  readonly perClientMax?: number | undefined;
  readonly accessLog?: AccessLog | undefined;
  /** For HTTPS: used from the next handshake on. They must have been found good. */
  readonly tls?: HttpsSettings | undefined;
}

/** A port that is served. */
export interface Listening {
  /** Where it listens; the system's choice where the port was 0. */
  readonly address: Address;
  /** Resolves when `stop` is done; rejects for a bug. */
  readonly finished: Promise<void>;
  /** Connections at present. */
  readonly connections: () => number;
  /** Must be called when permits may have become free in other threads, or are wanted there. */
  permitsChanged(): void;
  /** Puts other limits, another access log and another certificate into force; established connections stay. */
  configure(change: PortChange): void;
  /** Counters of the server; the gateway has its own. */
  counters(): ListenCounters;
  /**
   * Stops accepting, lets running exchanges finish for at most `drainMs` or until `now` is aborted, and
   * cuts the rest. Resolves with the number of exchanges cut.
   */
  stop(drainMs: number, now: AbortSignal): Promise<number>;
  /** Its listening socket while it is open, where that can be handed over to another process. */
  passed(): Pick<PassedListener, "descriptor" | "isLent"> | undefined;
  /** Offers the connections without a request to `pass`: `Server.passIdle`. Those over TLS or HTTP/2 stay. */
  passIdle(pass: (descriptor: number, peer: string) => Promise<boolean>): Promise<void>;
  /** Serves a connection that another process has accepted. */
  take(conn: Conn, peer: string): void;
  /** As `stop`, when another process has the listening socket and the clients in its queue. */
  leave(drainMs: number, now: AbortSignal): Promise<number>;
}

/** Serves HTTP, or HTTPS if there is a certificate. Resolves with a reason, in words, if it cannot. */
export async function listen(
  settings: ListenSettings,
  context: ListenContext,
): Promise<Listening | string> {
  const { clock, publish, sockets, serve } = context;
  const { connectionsMax, tls, socketMode, received } = settings;
  const scheme = tls === undefined ? "http" : "https";
  const troubles = new ServerTroubles(clock, publish);
  const { clientLimit } = context;
  const logging = { accessLog: context.accessLog };
  const common = commonOptions(settings, context, troubles, logging);
  const http2 = await http2On(settings, { ...common, serve });
  const serverFor = (others?: ServerOptions["others"], clientLimit?: ClientLimit) =>
    new Server({
      ...common,
      handler: (exchange) => serve(exchange, scheme),
      ...http2 === undefined ? {} : { http2 },
      ...others === undefined ? {} : { others },
      ...clientLimit === undefined ? {} : { clientLimit },
    });
  let text = formatAddress(settings.address);
  const onAcceptFailed = (error: unknown, retryInMs: number) =>
    publish({ type: "accept.failed", address: text, reason: String(error), retryInMs });
  const relieve = () => (secure?.relieve() ?? http2?.giveWay()) === true;
  // Usually descriptors are short, and each idle connection holds one.
  const onShortage = () => {
    for (let i = 0; i < GIVE_WAY_MAX && (server.giveWay() || relieve()); i++);
  };
  const announced = Announced.of(settings, context);
  const secure = tls === undefined
    ? undefined
    : await httpsOn(context, { ...common, serve, publish, connectionsMax });
  const server: Server = secure === undefined
    ? serverFor(http2?.inPlaces, clientLimit)
    : serverFor(secure);
  const accept = {
    ...{ onAcceptFailed, onShortage, received },
    ...socketMode === undefined ? {} : { socketMode },
  };
  const port = secure === undefined
    ? await sockets.listen(settings.address, announced?.before(server) ?? server, {
      clock,
      ...accept,
      warn: (warning) => publish({ type: "config.warned", warning }),
    })
    : await secure.listen(settings.address, tls!, {
      ...{ server, clientLimit, announced, sockets },
      ...accept,
    });
  if (typeof port === "string") return port;
  text = formatAddress(port.address);
  publish({ type: "port.opened", address: text });
  const configure = (change: PortChange) => {
    logging.accessLog = change.accessLog;
    server.setLimits({ ...change.limits, connectionsMax: change.connectionsMax });
    if (change.perClientMax !== undefined) clientLimit?.setMax(change.perClientMax);
    secure?.configure(change);
    if (change.limits !== undefined) http2?.setLimits(change.limits);
  };
  return listeningOn(port, server, { troubles, announced, secure, http2, configure }, context);
}

/** What the servers of both protocols have in common. */
function commonOptions(
  { tls, limits, connectionsMax }: ListenSettings,
  { deadlines, semaphore }: ListenContext,
  troubles: ServerTroubles,
  logging: { readonly accessLog: AccessLog | undefined },
) {
  const { onBroken, onError, onFull } = troubles;
  const onMalformed = (fault: Fault, peer: string) =>
    logging.accessLog?.refused(fault, peer, tls === undefined ? "http" : "https");
  return {
    deadlines,
    isReserved: isReservedPath,
    onBroken,
    // `onBroken` counts it; the client of HTTP/2 is not answered, which is all that differs from HTTP/1.1.
    onMalformed,
    onFault: (fault: Fault, peer: string) => {
      troubles.onFault(fault, peer);
      onMalformed(fault, peer);
    },
    onError,
    onFull,
    limits: { ...limits, connectionsMax },
    ...semaphore === undefined ? {} : { semaphore },
  };
}

/** HTTP/2 without TLS, if that is asked for. */
async function http2On(
  { h2c, tls }: ListenSettings,
  parts: Http2Parts,
): Promise<Http2 | undefined> {
  if (h2c !== true || tls !== undefined) return undefined;
  return new (await import("./tls/http2.ts")).Http2(parts, "http");
}

/** HTTPS by the sockets themselves where they can, else by Deno. */
async function httpsOn(
  { clock, sockets }: ListenContext,
  settings: HttpsServerSettings,
): Promise<Https> {
  if (sockets.terminator === undefined) {
    return new (await import("./tls/https_server.ts")).HttpsServer(clock, settings);
  }
  return new (await import("./tls/own_https.ts")).OwnHttps(clock, settings);
}

/** An open port, for the service that owns it. */
function listeningOn(
  port: HttpPort,
  server: Server,
  { troubles, announced, secure, http2, configure }: {
    readonly troubles: ServerTroubles;
    readonly announced: Announced | undefined;
    readonly secure: Https | undefined;
    readonly http2: Http2 | undefined;
    readonly configure: (change: PortChange) => void;
  },
  { clock, publish, clientLimit }: ListenContext,
): Listening {
  return {
    address: port.address,
    finished: port.finished,
    permitsChanged: () => server.permitsChanged(),
    connections: () => server.connections + (port.others?.() ?? 0),
    configure,
    counters: () => {
      const { refused, faulted } = troubles;
      const { handshakes, resumed, failed } = secure?.counts ?? NO_HANDSHAKES;
      const overLimit = clientLimit?.refused ?? 0;
      const unannounced = announced?.count ?? 0;
      const ofServer = { accepted: server.accepted, refused, overLimit, unannounced, faulted };
      return { ...ofServer, handshakes, resumed, handshakesFailed: failed, ...troubles.http2 };
    },
    passed: () => port.passed?.(),
    passIdle: (pass) => server.passIdle(pass),
    take: (conn, peer) => void server.serve(conn, peer),
    leave(drainMs, now) {
      port.leave?.();
      return this.stop(drainMs, now);
    },
    async stop(drainMs, now) {
      publish({ type: "port.closed", address: formatAddress(port.address) });
      announced?.close();
      using deadline = withDeadline(now, drainMs, clock);
      const cut = deadline.signal;
      const isClosed = closed(port, cut);
      const ofHttp2 = () => http2?.drain(cut) ?? 0;
      const cuts = await Promise.all([
        server.drain(cut),
        isClosed.then(() => port.drainOthers?.(cut) ?? 0),
        isClosed.then(ofHttp2),
      ]);
      // Clients that were in the queue, or in a handshake, may have been accepted meanwhile.
      cuts.push(...await Promise.all([server.drain(cut), ofHttp2()]));
      return cuts.reduce((sum, count) => sum + count, 0);
    },
  };
}

/** Connections that begin with a PROXY protocol header. */
class Announced {
  readonly #versions: ProxyVersions;
  readonly #clock: Clock;
  readonly #missing: MissingHeaders;
  readonly #max: number;
  #acceptee: AcceptProxy | undefined;

  static of(
    { acceptProxy, connectionsMax }: ListenSettings,
    context: ListenContext,
  ): Announced | undefined {
    if (acceptProxy === undefined) return undefined;
    return new Announced(acceptProxy, connectionsMax, context);
  }

  private constructor(
    versions: ProxyVersions,
    connectionsMax: number,
    { clock, publish }: ListenContext,
  ) {
    this.#versions = versions;
    this.#max = connectionsMax;
    this.#clock = clock;
    const tell = (client: string, count: number) =>
      publish({ type: "proxyHeader.missing", client, count });
    this.#missing = new MissingHeaders(() => clock.now(), tell);
  }

  get count(): number {
    return this.#missing.count;
  }

  /** Reads the headers before `inner` gets the connections. */
  before(inner: Acceptee): Acceptee {
    const [versions, clock, missing] = [this.#versions, this.#clock, this.#missing];
    return this.#acceptee = new AcceptProxy(inner, versions, clock, missing, this.#max);
  }

  close(): void {
    this.#acceptee?.close();
  }
}

const NO_HANDSHAKES = { handshakes: 0, resumed: 0, failed: 0 };

/** Idle connections closed at once when nobody can be accepted. */
const GIVE_WAY_MAX = 64;

/** A port that accepts, with the connections that are not the server's (HTTP/2). */
export interface HttpPort extends ListeningPort {
  readonly others?: () => number;
  drainOthers?(cut: AbortSignal): Promise<number>;
}

/** Accepts the clients in the kernel's queue, unless `cut` is aborted, and closes the port. */
async function closed(port: HttpPort, cut: AbortSignal): Promise<void> {
  if (cut.aborted) return port.close();
  const close = () => port.close();
  cut.addEventListener("abort", close, { once: true });
  port.end();
  // A bug in the accept loop is reported through `finished`.
  await port.finished.catch(() => {});
  cut.removeEventListener("abort", close);
}
