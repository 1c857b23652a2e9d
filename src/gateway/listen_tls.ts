/**
 * HTTPS toward clients. TLS ends here; what speaks HTTP/1.1 inside goes to `http1/`'s server as plain
 * HTTP does, with its limits and upgrades, and what has chosen HTTP/2 goes to `http2.ts`.
 *
 * A changed certificate is taken up by listening anew: for a moment, clients that are just connecting
 * may be refused. Connections that stand are not touched.
 */
import { type Clock, sleep } from "../base/clock.ts";
import { denoConn } from "../http1/conn_deno.ts";
import type { Server } from "../http1/server.ts";
import { AcceptPauses, acceptVerdict } from "../net/accept.ts";
import type { Http2 } from "./http2.ts";

/** A certificate chain with its key, in PEM, and where they were read. */
export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
}

export interface TlsParts {
  readonly clock: Clock;
  readonly server: Server;
  readonly http2: Http2;
  /** Clients at one time; further ones are closed at once. */
  readonly connectionsMax: number;
  /** Told when accepting failed and will be tried again. */
  readonly onAcceptFailed: (error: unknown, retryInMs: number) => void;
  /** Told in words of a certificate that could not be taken up. */
  readonly onReload: (trouble: string) => void;
}

/** How often the files are looked at. */
const LOOK_MS = 10_000;
/** For the TLS handshake. */
const HANDSHAKE_MS = 10_000;
/** Handshakes at one time. */
const HANDSHAKES_MAX = 256;

export class TlsListener {
  readonly port: number;
  /** Resolves after `close`; rejects for a bug. */
  readonly finished: Promise<void>;
  readonly #hostname: string;
  readonly #parts: TlsParts;
  readonly #bug = Promise.withResolvers<never>();
  #files: TlsFiles;
  #listener: Deno.TlsListener;
  #handshakes = 0;
  #closed = false;
  #reloading = false;
  #cancelLook = () => {};

  /** Throws what `Deno.listenTls` throws for an address or a certificate it does not take. */
  constructor(hostname: string, port: number, files: TlsFiles, parts: TlsParts) {
    this.#hostname = hostname;
    this.#files = files;
    this.#parts = parts;
    this.#listener = this.#listen(port);
    this.port = this.#listener.addr.port;
    // Without a bug nobody ever looks at it.
    this.#bug.promise.catch(() => {});
    this.finished = Promise.race([this.#accept(), this.#bug.promise]);
    this.#lookLater();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLook();
    this.#listener.close();
  }

  /** Looks at the files, and listens anew if they have changed. */
  async reload(): Promise<void> {
    const { certPath, keyPath, cert, key } = this.#files;
    try {
      const files = {
        certPath,
        keyPath,
        cert: await Deno.readTextFile(certPath),
        key: await Deno.readTextFile(keyPath),
      };
      if (this.#closed || (files.cert === cert && files.key === key)) return;
      // Tried out elsewhere first: a bad pair must not cost the good one.
      Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: files.cert, key: files.key }).close();
      this.#files = files;
    } catch (error) {
      // Half-written files, mostly; the next look finds them whole.
      return this.#parts.onReload(error instanceof Error ? error.message : String(error));
    }
    this.#reloading = true;
    this.#listener.close();
  }

  #listen(port: number): Deno.TlsListener {
    const { cert, key } = this.#files;
    const alpnProtocols = ["h2", "http/1.1"];
    return Deno.listenTls({ hostname: this.#hostname, port, cert, key, alpnProtocols });
  }

  #lookLater(): void {
    this.#cancelLook = this.#parts.clock.after(LOOK_MS, async () => {
      await this.reload();
      if (!this.#closed) this.#lookLater();
    });
  }

  async #accept(): Promise<void> {
    const { server, http2, clock, connectionsMax, onAcceptFailed } = this.#parts;
    const pauses = new AcceptPauses();
    for (;;) {
      await server.room();
      let conn: Deno.TlsConn;
      try {
        conn = await this.#listener.accept();
      } catch (error) {
        if (this.#closed) return;
        if (this.#reloading) {
          this.#reloading = false;
          this.#listener = this.#listen(this.port);
          continue;
        }
        if (acceptVerdict(error) === "again") continue;
        const { pauseMs, isNews } = pauses.next(clock.now());
        if (isNews) onAcceptFailed(error, pauseMs);
        await sleep(clock, pauseMs);
        continue;
      }
      pauses.over();
      const connections = server.connections + http2.connections + this.#handshakes;
      if (this.#handshakes >= HANDSHAKES_MAX || connections >= connectionsMax) {
        conn.close();
        continue;
      }
      this.#serve(conn).catch(this.#bug.reject);
    }
  }

  async #serve(conn: Deno.TlsConn): Promise<void> {
    const { server, http2, clock } = this.#parts;
    const peer = conn.remoteAddr.hostname;
    const wrapped = denoConn(conn);
    const cancel = clock.after(HANDSHAKE_MS, () => wrapped.close());
    this.#handshakes++;
    let protocol: string | null;
    try {
      protocol = (await conn.handshake()).alpnProtocol;
    } catch {
      // Not TLS, or too slow: there is nobody to tell.
      return wrapped.close();
    } finally {
      cancel();
      this.#handshakes--;
    }
    if (protocol === "h2") await http2.serve(wrapped, peer);
    else await server.serve(wrapped, peer);
  }
}
