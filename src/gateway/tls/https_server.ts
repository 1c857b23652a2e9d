/** The HTTPS part of a service, beside its HTTP/1.1 server: the port, handshakes under way, and HTTP/2. */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import type { Publish } from "../../events/events.ts";
import type { ClientLimit } from "../../net/client_limit.ts";
import type { Server } from "../../http1/server.ts";
import { UnfinishedTls } from "../../net/deno/unfinished_tls.ts";
import { Handshakes } from "../handshakes.ts";
import { Http2, type Http2Parts } from "./http2.ts";
import type { HttpPort } from "../listen.ts";
import { type TlsFiles, TlsListener } from "./listen_tls.ts";

/** How long a drain waits for handshakes that are under way, in milliseconds. */
const LAST_HANDSHAKES_MS = 1_000;
const POLL_MS = 10;

/** What HTTPS needs in addition to the settings of its listener. */
export interface HttpsServerSettings extends Omit<Http2Parts, "onChange"> {
  /** The most clients at one time. */
  readonly connectionsMax: number;
  readonly publish: Publish;
}

/** HTTPS of one service. */
export class HttpsServer {
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
    this.#http2 = new Http2({
      ...settings,
      onChange: (unsupportedReason) => this.#http2Changed(unsupportedReason),
    });
  }

  /** Connections that count in addition to those of the server. Handshakes have a separate limit. */
  count(): number {
    return this.#http2.connections;
  }

  /** Closes the connection that has been idle longest; false if none is idle. */
  giveWay(): boolean {
    return this.#http2.giveWay();
  }

  /** Frees a descriptor when there are too few: ends a slow handshake, or else an idle connection. */
  relieve(): boolean {
    return this.#handshakes.giveWay() || this.#http2.giveWay();
  }

  /** Listens and serves. Resolves with the reason, for a person, if it cannot; then everything is closed. */
  async listen(
    asked: Address,
    files: TlsFiles,
    parts: {
      readonly server: Server;
      readonly clientLimit: ClientLimit | undefined;
      readonly onAcceptFailed: (error: unknown, retryInMs: number) => void;
      readonly onShortage: () => void;
    },
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
    };
  }

  async #drain(cut: AbortSignal): Promise<number> {
    for (let ms = 0; ms < LAST_HANDSHAKES_MS && this.#handshakes.size > 0; ms += POLL_MS) {
      if (cut.aborted) break;
      await new Promise<void>((resolve) => this.#clock.after(POLL_MS, resolve));
    }
    this.#handshakes.endAll();
    this.#unfinished[Symbol.dispose]();
    return await this.#http2.drain(cut);
  }

  #http2Changed(unsupportedReason: string | undefined): void {
    const { publish } = this.#settings;
    const warning = unsupportedReason === undefined
      ? "HTTP/2 is served again"
      : `HTTP/2 cannot be served (${unsupportedReason}): clients are offered HTTP/1.1 alone`;
    publish({ type: "config.warned", warning });
    this.#listener?.relisten();
  }
}
