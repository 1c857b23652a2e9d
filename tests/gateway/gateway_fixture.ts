/**
 * A gateway in this process, with upstreams of all kinds, to which the test gives the orders of the
 * controller.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { unusedPort } from "../../src/base/testing/ports.ts";
import type { AddressInfo } from "node:net";
import { type Clock, realClock } from "../../src/base/clock.ts";
import type { Networks } from "../../src/base/cidr.ts";
import type { Event } from "../../src/events/events.ts";
import type { Doubt } from "../../src/failover/ports.ts";
import type { Upstream } from "../../src/failover/upstream.ts";
import { DEFAULT_PAGE } from "../../src/gateway/error_page.ts";
import { Gateway, type GatewayEnv, type GatewaySettings } from "../../src/gateway/gateway.ts";
import type { TlsFiles } from "../../src/gateway/tls/listen_tls.ts";
import { requestRules } from "../../src/gateway/headers.ts";
import { listen, type Listening } from "../../src/gateway/listen.ts";
import type { GatewayUpstream } from "../../src/gateway/upstream.ts";
import { newTicketKeys } from "../../src/linux/ticket_keys.ts";
import { denoSockets } from "../../src/net/deno/transport.ts";
import { linuxSockets } from "../../src/net/linux/transport.ts";
import type { Engine } from "../harness/scenario.ts";
import type { LookUp } from "../../src/net/look_up.ts";
import { Resolver } from "../../src/net/resolve.ts";
import type { Sockets } from "../../src/net/transport.ts";
import { Deadlines } from "../../src/net/deadlines.ts";
import { Pool } from "../../src/http1/pool.ts";

import { storyClient } from "./clients.ts";
import { type Head, headOf, type Protocol, type StoryClient } from "./story_client.ts";

/** A running server, which may or may not answer with HTTP. */
export interface RunningServer extends AsyncDisposable {
  readonly port: number;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server of Node. */
export async function nodeUpstream(handler: Handler, port = 0): Promise<
  RunningServer & {
    readonly server: ReturnType<typeof createServer>;
  }
> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    server,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** An upstream of raw sockets: each connection is handed to `serve`, and closed after it. */
export function rawUpstream(serve: (conn: Deno.TcpConn) => Promise<void>): RunningServer {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conns = new Set<Deno.TcpConn>();
  const running: Promise<void>[] = [];
  const accepting = (async () => {
    for (;;) {
      try {
        const conn = await listener.accept();
        conns.add(conn);
        running.push(serveOne(conn));
      } catch (error) {
        // A connection that was reset before it was accepted is skipped; any other error is the end of the
        // listener.
        if (!(error instanceof Deno.errors.NotConnected)) return;
      }
    }
  })();
  async function serveOne(conn: Deno.TcpConn): Promise<void> {
    try {
      await serve(conn);
    } catch {
      // The proxy may close the connection of an upstream that misbehaves.
    } finally {
      conns.delete(conn);
      close(conn);
    }
  }
  return {
    port: (listener.addr as Deno.NetAddr).port,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const conn of conns) close(conn);
      await accepting;
      await Promise.all(running);
    },
  };
}

export function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** A server of this process as `--primary` and `--backup` take it. */
export function urlOf({ port }: { readonly port: number }): { readonly url: string } {
  return { url: `http://127.0.0.1:${port}` };
}

const encoder = new TextEncoder();

export async function sendText(conn: Deno.Conn, text: string): Promise<void> {
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Reads until `text` contains `end`, or the peer has finished. */
export async function readUntil(conn: Deno.Conn, end = "\r\n\r\n", text = ""): Promise<string> {
  const buffer = new Uint8Array(65536);
  while (!text.includes(end)) {
    const count = await conn.read(buffer);
    if (count === null) return text;
    // One character per byte, which no TextDecoder does.
    for (const byte of buffer.subarray(0, count)) text += String.fromCharCode(byte);
  }
  return text;
}

/** Reads until the peer has finished. */
export function readAllText(conn: Deno.Conn, text = ""): Promise<string> {
  return readUntil(conn, "\0 never \0", text);
}

/** Reads until the peer has ended the connection, orderly or by a reset. */
export async function readToEnd(
  conn: Deno.Conn,
): Promise<{ text: string; end: "ended" | "reset" }> {
  const buffer = new Uint8Array(65536);
  let text = "";
  try {
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
    return { text, end: "ended" };
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
    return { text, end: "reset" };
  }
}

/** A port that refuses connections. */
export function refusingPort(): number {
  return unusedPort();
}

export interface GatewayFixtureOptions extends Partial<GatewaySettings> {
  readonly clock?: Clock;
  readonly basePath?: string;
  readonly host?: string;
  readonly preserveHost?: boolean;
  readonly headers?: readonly (readonly [string, string])[];
  readonly connectMs?: number;
  readonly trusted?: Networks;
  /** The longest time between two bytes of a response; 0, the default, is no limit. */
  readonly responseIdleMs?: number;
  /** The name of every upstream; its IP address by default. */
  readonly upstreamHost?: string;
  /** Looks up the address of that name. */
  readonly lookUp?: LookUp;
  /** Makes the sockets; Deno's by default. */
  readonly sockets?: () => Sockets;
  /** Whether other upstreams than the active one may be used; true by default. */
  readonly standIn?: boolean;
  readonly backup?: (request: Request) => Promise<Response>;
  /** Serves HTTPS, with the sockets of this engine unless `sockets` says otherwise. */
  readonly tls?: TlsFiles & { readonly relay?: Engine };
  readonly admin?: { fetch(request: Request): Response | Promise<Response> };
  /** What `client` and `ask` speak; HTTP/1.1 by default. */
  readonly protocol?: Protocol;
  /** Is called with each exchange before the gateway. */
  readonly meddle?: (exchange: GatewayEnv["downstream"]) => void;
}

/** Longer than this process may have to wait for a core; tests of what comes after it set their own. */
const TIMEOUT_MS = 20_000;

const QUICK: GatewaySettings = {
  holdMs: TIMEOUT_MS,
  heldMax: 1_000,
  responseTimeoutMs: TIMEOUT_MS,
  idleTimeoutMs: 0,
  bodyMax: 10_000_000,
  honourIdempotencyKey: false,
  failoverHeader: true,
  requestId: false,
  retryOn: [],
  errorPage: DEFAULT_PAGE,
  allowTrace: false,
  pseudonym: "failover",
};

/** Gateway and port, which end together. */
export class GatewayFixture implements AsyncDisposable {
  readonly gateway: Gateway;
  port = 0;
  readonly upstreams: readonly Upstream[];
  readonly doubts: Doubt[] = [];
  readonly events: Event[] = [];
  /** Called at each doubt, as the controller would be. */
  onDoubt: (doubt: Doubt) => void = () => {};
  readonly #listening: Promise<Listening | string>;
  listening!: Listening;
  readonly #clients: Deno.Conn[] = [];
  readonly #sockets: Sockets;
  readonly #isHttp2: boolean;
  #epoch = 0;

  static async start(
    ports: readonly number[],
    options: GatewayFixtureOptions = {},
  ): Promise<GatewayFixture> {
    const fixture = new GatewayFixture(ports, options);
    const listening = await fixture.#listening;
    if (typeof listening === "string") throw new Error(listening);
    fixture.listening = listening;
    fixture.port = listening.address.kind === "tcp" ? listening.address.port : 0;
    return fixture;
  }

  private constructor(ports: readonly number[], options: GatewayFixtureOptions) {
    const isOwn = options.tls?.relay === "splice";
    const makeSockets = options.sockets ?? (isOwn ? () => linuxSockets(realClock) : undefined);
    const sockets = this.#sockets = makeSockets?.() ?? denoSockets;
    this.#isHttp2 = options.protocol === "HTTP/2";
    const clock = options.clock ?? realClock;
    const deadlines = new Deadlines(clock);
    const { basePath = "", host, preserveHost = false, headers = [] } = options;
    const { pseudonym } = { ...QUICK, ...options };
    const { lookUp } = options;
    const resolver = lookUp === undefined ? undefined : new Resolver(clock, lookUp);
    const list: GatewayUpstream[] = ports.map((port, rank) => ({
      kind: "server",
      upstream: upstreamAt(`u${rank}`, port, rank),
      origin: `http://127.0.0.1:${port}`,
      basePath,
      pool: new Pool({
        dial: this.#sockets.dialer({
          hostname: options.upstreamHost ?? "127.0.0.1",
          port,
          clock,
          connectMs: options.connectMs ?? TIMEOUT_MS,
          ...(resolver === undefined ? {} : { resolver }),
        }),
        deadlines,
        bodyMs: options.responseIdleMs ?? 0,
      }),
      rules: requestRules(`127.0.0.1:${port}`, {
        ...{ host, preserveHost, headers, pseudonym },
        requestId: options.requestId === true,
        ...options.trusted === undefined ? {} : { trusted: options.trusted },
      }),
    }));
    if (options.backup !== undefined) {
      const upstream = upstreamAt(`u${ports.length}`, 1, ports.length);
      list.push({ kind: "static", upstream, respond: options.backup });
    }
    this.upstreams = list.map(({ upstream }) => upstream);
    const publish = (event: Event) => void this.events.push(event);
    this.gateway = new Gateway({ ...QUICK, ...options }, {
      clock,
      deadlines,
      publish,
      upstreams: new Map(list.map((each) => [each.upstream.name, each])),
      doubt: (doubt) => {
        this.doubts.push(doubt);
        this.onDoubt(doubt);
      },
      others: () => options.standIn === false ? [] : this.upstreams,
      ...(options.admin === undefined ? {} : { admin: options.admin }),
    });
    this.#listening = listen(
      {
        address: { kind: "tcp", host: "127.0.0.1", port: 0 },
        connectionsMax: 1_000,
        h2c: options.protocol === "HTTP/2",
        tls: options.tls && { certificates: [options.tls], ticketKeys: newTicketKeys() },
      },
      {
        clock,
        deadlines,
        publish,
        sockets,
        serve: (downstream, scheme) => {
          options.meddle?.(downstream);
          return this.gateway.serve(downstream, scheme);
        },
      },
    );
  }

  /** Makes the upstream of this rank active. */
  async open(rank: number): Promise<void> {
    await this.gateway.open(this.upstreams[rank]!, ++this.#epoch);
  }

  get epoch(): number {
    return this.#epoch;
  }

  async connect(): Promise<Deno.TcpConn> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
    this.#clients.push(conn);
    return conn;
  }

  /** A client on a connection of its own, which speaks the protocol of the story. */
  async client(): Promise<StoryClient> {
    return this.clientOn(await this.connect());
  }

  /** The same on this connection. */
  clientOn(conn: Deno.TcpConn): StoryClient {
    return storyClient(conn, this.#isHttp2 ? "HTTP/2" : "HTTP/1.1");
  }

  /** Sends `text` on a separate connection and returns all that is received until it is closed. */
  async raw(text: string): Promise<string> {
    const conn = await this.connect();
    await sendText(conn, text);
    return await readAllText(conn);
  }

  /** One request that asks for the connection to be closed; `lines` end without a line break. */
  async ask(
    method: string,
    path: string,
    lines: readonly string[] = [],
    body = "",
  ): Promise<Answer> {
    if (this.#isHttp2) return await this.#askHttp2(method, path, lines, body);
    const framing = body === "" || lines.some((line) => /^transfer-encoding/i.test(line))
      ? []
      : [`Content-Length: ${encoder.encode(body).length}`];
    const head = [`${method} ${path} HTTP/1.1`, "Host: front.test", "Connection: close", ...lines];
    const text = [...head, ...framing, "", body].join("\r\n");
    return parsed(await this.raw(text));
  }

  async #askHttp2(
    method: string,
    path: string,
    lines: readonly string[],
    body: string,
  ): Promise<Answer> {
    const bytes = encoder.encode(body);
    const isUnknown = body === "" || lines.some((line) => /^transfer-encoding/i.test(line));
    const length = isUnknown ? [] : [`Content-Length: ${bytes.length}`];
    const client = await this.client();
    const asked = await client.begin(method, path, [...lines, ...length], { hasBody: body !== "" });
    // The server may answer before it has read everything, and read nothing after that.
    const sending = asked.send(bytes).then(() => body === "" ? undefined : asked.end());
    const answer = await asked.answer();
    await sending.catch(() => {});
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const conn of this.#clients) close(conn);
    this.gateway[Symbol.dispose]();
    await this.listening.stop(0, AbortSignal.abort());
    await this.listening.finished;
    await this.#sockets.close();
  }
}

function upstreamAt(name: string, port: number, rank: number): Upstream {
  return { name, rank, address: { kind: "tcp", host: "127.0.0.1", port } };
}

export interface Answer extends Head {
  readonly body: string;
}

/** Parses a whole response; the body keeps its framing. */
export function parsed(text: string): Answer {
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, end < 0 ? text.length : end).split("\r\n");
  const [, status = "0", ...reason] = first.split(" ");
  const head = headOf(Number(status), reason.join(" "), lines);
  return { ...head, body: end < 0 ? "" : text.slice(end + 4) };
}
