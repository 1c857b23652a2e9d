/** HTTPS on sockets that can terminate TLS themselves, as far as it differs from HTTP: the port, and HTTP/2 behind it. */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import type { TlsServerSettings, TlsTerminator } from "../../net/transport.ts";
import type { HttpPort, HttpsSettings, PortChange } from "../listen.ts";
import { Http2 } from "./http2.ts";
import { type HandshakeCounts, TlsAcceptee } from "./tls_acceptee.ts";
import type { Https, HttpsPortParts, HttpsServerSettings } from "./https.ts";

/** What clients are offered, best first (ALPN). */
const PROTOCOLS = ["h2", "http/1.1", "http/1.0"];

/** HTTPS of one service in one thread. */
export class OwnHttps implements Https {
  readonly #settings: HttpsServerSettings;
  readonly #clock: Clock;
  #terminator: TlsTerminator | undefined;
  #tls: HttpsSettings | undefined;
  #acceptee: TlsAcceptee | undefined;
  readonly #http2: Http2;

  constructor(clock: Clock, settings: HttpsServerSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#http2 = new Http2(settings);
  }

  /** Connections that count in addition to those of the server. */
  count(): number {
    return this.#http2.connections;
  }

  /** Closes the connection of HTTP/2 that has been idle for longest, of those beyond the limit or the rest; false if none is idle. */
  giveWay(isOverLimit = false): boolean {
    return this.#http2.giveWay(isOverLimit);
  }

  /** Frees a descriptor when there are too few: ends a slow handshake, or else an idle connection. */
  relieve(): boolean {
    return (this.#acceptee?.giveWay() ?? false) || this.giveWay();
  }

  /** How many handshakes there were. */
  get counts(): HandshakeCounts | undefined {
    return this.#acceptee?.counts;
  }

  configure({ limits, tls }: Pick<PortChange, "limits" | "tls">): void {
    if (limits !== undefined) this.#http2.setLimits(limits);
    // Other settings alone leave the certificates as they are.
    if (tls === undefined || isSame(tls, this.#tls)) return;
    this.#tls = tls;
    this.#terminator?.use(this.#terms(tls));
  }

  async listen(
    address: Address,
    tls: HttpsSettings,
    { server, clientLimit, announced, sockets, ...accept }: HttpsPortParts,
  ): Promise<HttpPort | string> {
    const { publish, connectionsMax, onError } = this.#settings;
    const clock = this.#clock;
    this.#tls = tls;
    let terminator: TlsTerminator;
    try {
      terminator = this.#terminator = sockets.terminator!(this.#terms(tls));
    } catch (error) {
      await this.#http2.drain(AbortSignal.abort());
      return error instanceof Error ? error.message : String(error);
    }
    const http2 = this.#http2;
    const parts = {
      clock,
      publish,
      terminator,
      server,
      http2,
      clientLimit,
      connectionsMax,
      onError,
    };
    const acceptee = this.#acceptee = new TlsAcceptee(parts);
    const options = { clock, ...accept };
    const port = await sockets.listen(address, announced?.before(acceptee) ?? acceptee, options);
    if (typeof port === "string") {
      terminator.close();
      await this.#http2.drain(AbortSignal.abort());
      return port;
    }
    return {
      ...port,
      others: () => this.count(),
      drainOthers: async (cut) => {
        await acceptee.drain(cut);
        const count = await this.#http2.drain(cut);
        terminator.close();
        return count;
      },
    };
  }

  #terms({ certificates, clientCa, ticketKeys }: HttpsSettings): TlsServerSettings {
    return { certificates, protocols: PROTOCOLS, clientCa, ticketKeys };
  }
}

function isSame(one: HttpsSettings, other: HttpsSettings | undefined): boolean {
  const text = (tls: HttpsSettings | undefined) =>
    JSON.stringify([
      ...[tls?.clientCa, tls?.certificates.map(({ cert, key }) => [cert, key])],
      [...tls?.ticketKeys ?? []],
    ]);
  return text(one) === text(other);
}
