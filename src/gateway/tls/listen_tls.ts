/**
 * HTTPS toward clients. TLS ends here; what speaks HTTP/1.1 inside goes to `http1/`'s server as plain
 * HTTP does, with its limits and upgrades, and what has chosen HTTP/2 goes to `http2.ts`.
 *
 * A changed certificate is taken up by listening anew: for a moment, clients that are just connecting
 * may be refused. Connections that stand are not touched.
 */
import { type Clock, sleep } from "../../base/clock.ts";
import { denoConn, peerOf } from "../../net/deno/conn.ts";
import { acceptAll } from "../../net/deno/listener.ts";
import { QueueEnd } from "../../net/deno/queue_end.ts";
import type { Server } from "../../http1/server.ts";
import type { Handshakes } from "../handshakes.ts";
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
  readonly handshakes: Handshakes;
  /** Told when accepting failed and will be tried again. */
  readonly onAcceptFailed: (error: unknown, retryInMs: number) => void;
  /** Called each time that something is short. */
  readonly onShortage: () => void;
  /** Told in words of a certificate that could not be taken up. */
  readonly onReload: (trouble: string) => void;
  /** Told of what was thrown in serving one client, which ended just that. */
  readonly onError: (error: unknown, peer: string) => void;
}

/** How often the files are looked at. */
const LOOK_MS = 10_000;
/** For the TLS handshake. */
const HANDSHAKE_MS = 10_000;
/** How soon there may be room for another handshake. */
const HANDSHAKE_ROOM_MS = 5;
/** How often it is looked whether somebody who is idle may give way. */
const ROOM_MS = 250;

export class TlsListener {
  readonly port: number;
  /** Resolves after `close`; rejects for a bug. */
  readonly finished: Promise<void>;
  readonly #hostname: string;
  readonly #parts: TlsParts;
  readonly #queue: QueueEnd;
  #files: TlsFiles;
  #listener: Deno.TlsListener;
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
    this.#queue = new QueueEnd(parts.clock, this.#listener.addr, () => this.#close());
    this.finished = this.#accept().then(() => this.#queue.over());
    // For whoever awaits it; nobody may do so.
    this.finished.catch(() => {});
    this.#lookLater();
  }

  /** Takes in those who wait in the queue, and then nobody. */
  end(): void {
    this.#queue.begin(false);
  }

  /** Accepts nobody any more. */
  close(): void {
    this.#queue.begin(true);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLook();
    // While it is listened anew there may be none.
    if (!this.#reloading) this.#listener.close();
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
    this.relisten();
  }

  /** Listens anew, with the certificate and the protocols of now. */
  relisten(): void {
    if (this.#closed || this.#reloading) return;
    this.#reloading = true;
    this.#listener.close();
  }

  #listen(port: number): Deno.TlsListener {
    const { cert, key } = this.#files;
    const isH2 = this.#parts.http2.unsupportedReason === undefined;
    const alpnProtocols = isH2 ? ["h2", "http/1.1"] : ["http/1.1"];
    return Deno.listenTls({ hostname: this.#hostname, port, cert, key, alpnProtocols });
  }

  #lookLater(): void {
    this.#cancelLook = this.#parts.clock.after(LOOK_MS, async () => {
      await this.reload();
      if (!this.#closed) this.#lookLater();
    });
  }

  #accept(): Promise<void> {
    const { clock, onAcceptFailed, onShortage, onError } = this.#parts;
    return acceptAll<Deno.TlsConn>({
      listener: () => this.#current(),
      room: () => Promise.race([this.#room(), this.#queue.begun]),
      taken: (conn) => {
        const peer = peerOf(conn);
        this.#queue.admit(
          conn,
          () => void this.#serve(conn, peer).catch((error) => onError(error, peer)),
        );
      },
      async pause(error, pauseMs, isNews) {
        if (isNews) onAcceptFailed(error, pauseMs);
        onShortage();
        await sleep(clock, pauseMs);
      },
      now: () => clock.now(),
    });
  }

  /** The listener of now, made anew where that was asked for; undefined after `close`. */
  #current(): Deno.TlsListener | undefined {
    if (this.#closed) return undefined;
    if (this.#reloading) {
      this.#listener = this.#listen(this.port);
      this.#reloading = false;
    }
    return this.#listener;
  }

  /** Resolves when one more client may be taken in. */
  async #room(): Promise<void> {
    const { server, http2, handshakes, clock } = this.#parts;
    while (!this.#closed && !server.hasRoom && !http2.giveWay()) {
      await Promise.race([server.room(), sleep(clock, ROOM_MS)]);
    }
    while (!this.#closed && !handshakes.makeRoom()) await sleep(clock, HANDSHAKE_ROOM_MS);
  }

  async #serve(conn: Deno.TlsConn, peer: string): Promise<void> {
    const { server, http2, clock, handshakes } = this.#parts;
    const wrapped = denoConn(conn);
    const close = () => wrapped.close();
    const cancel = clock.after(HANDSHAKE_MS, close);
    const handshake = handshakes.add(peer, close);
    let protocol: string | null;
    try {
      protocol = (await conn.handshake()).alpnProtocol;
    } catch {
      // Not TLS, too slow, or one of too many: there is nobody to tell.
      return close();
    } finally {
      cancel();
      handshakes.delete(handshake);
    }
    if (protocol !== "h2") return await server.serve(wrapped, peer);
    await http2.serve(wrapped, peer, !server.makeRoom());
    server.changed();
  }
}
