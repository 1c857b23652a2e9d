/** The HTTPS part of a service, beside its HTTP/1.1 server: the port, handshakes under way, and HTTP/2. */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import { passedSocket } from "../../net/deno/passed_listener.ts";
import type { ListeningPort } from "../../net/transport.ts";
import { UnfinishedTls } from "../../net/deno/unfinished_tls.ts";
import { Handshakes } from "../handshakes.ts";
import { Http2 } from "./http2.ts";
import type { Https, HttpsPortParts, HttpsServerSettings } from "./https.ts";
import type { HttpPort, HttpsSettings, PortChange } from "../listen.ts";
import { ClientsByPort, TlsFront } from "./announced_tls.ts";
import { type TlsFiles, TlsListener, type TlsParts } from "./listen_tls.ts";

/** How long a drain waits for handshakes that are under way, in milliseconds. */
const LAST_HANDSHAKES_MS = 1_000;
const POLL_MS = 10;

/** HTTPS of one service by Deno's TLS. */
export class HttpsServer implements Https {
  readonly #clock: Clock;
  readonly #settings: HttpsServerSettings;
  readonly #unfinished = new UnfinishedTls();
  readonly #handshakes: Handshakes;
  readonly #http2: Http2;
  #listener: TlsListener | undefined;

  constructor(clock: Clock, settings: HttpsServerSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#handshakes = new Handshakes(clock, settings.connectionsMax, this.#unfinished);
    this.#http2 = new Http2(settings);
  }

  /** Other limits and another certificate are in force for connections from now on. */
  configure({ limits, tls }: Pick<PortChange, "limits" | "tls">): void {
    if (limits !== undefined) this.#http2.setLimits(limits);
    const files = tls?.certificates[0];
    if (files !== undefined) this.#listener?.useFiles(files);
  }

  /** Connections that count in addition to those of the server. Handshakes have a separate limit. */
  count(): number {
    return this.#http2.connections;
  }

  /** Closes the connection of HTTP/2 that has been idle for longest, of those beyond the limit or the rest; false if none is idle. */
  giveWay(isOverLimit = false): boolean {
    return this.#http2.giveWay(isOverLimit);
  }

  /** Frees a descriptor when there are too few: ends a slow handshake, or else an idle connection. */
  relieve(): boolean {
    return this.#handshakes.giveWay() || this.#http2.giveWay();
  }

  async listen(
    asked: Address,
    { certificates: [files] }: HttpsSettings,
    parts: HttpsPortParts,
  ): Promise<HttpPort | string> {
    if (files === undefined) throw new Error("HTTPS without a certificate");
    const passed = parts.received?.take();
    const isDirect = parts.announced === undefined && passed === undefined;
    if (isDirect || asked.kind !== "tcp") return await this.#listen(asked, files, parts);
    const clients = new ClientsByPort(this.#clock);
    const clientOf = (conn: Deno.TlsConn) => clients.clientOf(conn);
    const inside = { ...asked, host: "127.0.0.1", port: 0 };
    const inner = await this.#listen(inside, files, { ...parts, clientOf });
    if (typeof inner === "string" || inner.address.kind !== "tcp") return inner;
    const { port } = inner.address;
    const front = new TlsFront({ clock: this.#clock, clients, port, server: parts.server });
    // Deno's TLS cannot listen on a socket that is there already, so what comes there is passed on to it as well.
    const outer = await parts.sockets.listen(asked, parts.announced?.before(front) ?? front, {
      clock: this.#clock,
      onAcceptFailed: parts.onAcceptFailed,
      onShortage: parts.onShortage,
      received: passed && {
        take: () => passed,
        giveBack: (listener) => parts.received!.giveBack(listener),
      },
      warn: (warning) => this.#settings.publish({ type: "config.warned", warning }),
    });
    if (typeof outer !== "string") return both(outer, inner);
    inner.close();
    await this.#http2.drain(AbortSignal.abort());
    return outer;
  }

  /** Listens for handshakes. */
  async #listen(
    asked: Address,
    files: TlsFiles,
    parts: Pick<
      TlsParts,
      "server" | "clientLimit" | "clientOf" | "onAcceptFailed" | "onShortage"
    >,
  ): Promise<HttpPort | string> {
    const { publish, onError } = this.#settings;
    let trouble = "HTTPS is not served on a unix socket";
    try {
      if (asked.kind === "tcp") {
        this.#listener = new TlsListener(asked.host, asked.port, files, {
          ...parts,
          clock: this.#clock,
          http2: this.#http2,
          handshakes: this.#handshakes,
          cut: (conn, alike) => this.#unfinished.end(conn, alike),
          onError,
          onReload: (why) =>
            publish({ type: "config.warned", warning: `the old certificate stays in use: ${why}` }),
        });
      }
    } catch (error) {
      // The address is in use, or the certificate or its key is not valid.
      trouble = error instanceof Error ? error.message : String(error);
    }
    const listener = this.#listener;
    if (listener === undefined || asked.kind !== "tcp") {
      await this.#http2.drain(AbortSignal.abort());
      return trouble;
    }
    return {
      address: { ...asked, port: listener.port },
      finished: listener.finished,
      others: () => this.#http2.connections,
      end: () => listener.end(),
      close: () => listener.close(),
      drainOthers: (cut) => this.#drain(cut),
      passed: () => passedSocket(listener),
      leave: () => listener.close(),
    };
  }

  async #drain(cut: AbortSignal): Promise<number> {
    for (let ms = 0; ms < LAST_HANDSHAKES_MS && this.#handshakes.size > 0; ms += POLL_MS) {
      if (cut.aborted) break;
      await new Promise<void>((resolve) => this.#clock.after(POLL_MS, resolve));
    }
    this.#handshakes.endAll();
    const count = await this.#http2.drain(cut);
    this.#unfinished[Symbol.dispose]();
    return count;
  }
}

/** One port made of two: `outer` accepts clients and passes them on to `inner`, which ends after it. */
function both(outer: ListeningPort, inner: HttpPort): HttpPort {
  return {
    ...inner,
    address: outer.address,
    finished: Promise.all([outer.finished, inner.finished]).then(() => {}),
    end() {
      outer.end();
      outer.finished.then(() => inner.end(), () => inner.close());
    },
    close() {
      outer.close();
      inner.close();
    },
    passed: () => outer.passed?.(),
    leave() {
      outer.leave?.();
      outer.finished.then(() => inner.end(), () => inner.close());
    },
  };
}
