/**
 * HTTPS for clients. TLS is terminated here. Connections that have negotiated HTTP/2 go to `http2.ts`, all
 * others to the server of `http1/`, with its limits and upgrades.
 *
 * To use a changed certificate, we close the listener and listen again. Clients that connect at that moment may
 * be refused; connections that are established stay.
 */
import { type Clock, sleep } from "../../base/clock.ts";
import { closeConn, denoConn, peerOf } from "../../net/deno/conn.ts";
import { acceptAll } from "../../net/deno/listener.ts";
import { QueueEnd } from "../../net/deno/queue_end.ts";
import type { ClientLimit } from "../../net/client_limit.ts";
import type { Server } from "../../http1/server.ts";
import type { Handshakes } from "../handshakes.ts";
import { type Http2, serveOther } from "./http2.ts";

/** A certificate chain with its key, in PEM, and where they were read. */
export interface TlsFiles {
  readonly certPath: string;
  readonly keyPath: string;
  readonly cert: string;
  readonly key: string;
}

/** What the listener needs from outside. No callback may throw. */
export interface TlsParts {
  readonly clock: Clock;
  readonly server: Server;
  /** How many connections one client may have; those of HTTP/2 and handshakes count as well. */
  readonly clientLimit: ClientLimit | undefined;
  /** Who the client of a connection is, where it is not its peer; undefined closes the connection. */
  readonly clientOf?: (conn: Deno.TlsConn) => Promise<string | undefined>;
  readonly http2: Http2;
  readonly handshakes: Handshakes;
  /** Closes a connection at once, also if its client reads nothing; `alike` may be cut soon as well. */
  readonly cut: (conn: Deno.TlsConn, alike: Iterable<Deno.TlsConn>) => void;
  /** Called when accept failed and will be tried again after `retryInMs`. */
  readonly onAcceptFailed: (error: unknown, retryInMs: number) => void;
  /** Called each time that accept failed because a resource is short. */
  readonly onShortage: () => void;
  /** Called with a reason, in words, if a changed certificate cannot be used. */
  readonly onReload: (trouble: string) => void;
  /** Called for each error that has ended the service of one client. */
  readonly onError: (error: unknown, peer: string) => void;
}

/** The interval at which the files are read, in milliseconds. */
const POLL_MS = 10_000;
/** The longest TLS handshake, in milliseconds. */
const HANDSHAKE_MS = 10_000;
/** The interval at which we check whether there is room for another handshake, in milliseconds. */
const HANDSHAKE_ROOM_MS = 5;
/** The interval at which we check whether an idle connection can be closed for a new one, in milliseconds. */
const ROOM_MS = 250;

/** A port that accepts over TLS, from its making until `end` or `close`. */
export class TlsListener {
  /** Where it listens; the system's choice where the port was 0. */
  readonly port: number;
  /** Resolves after `close`; rejects for a bug. */
  readonly finished: Promise<void>;
  readonly #hostname: string;
  readonly #parts: TlsParts;
  readonly #queue: QueueEnd;
  /** Connections that are served. */
  readonly #served = new Set<Deno.TlsConn>();
  #files: TlsFiles;
  #listener: Deno.TlsListener;
  #closed = false;
  #reloading = false;
  /** Why the last changed certificate could not be used; reported once. */
  #complaint: string | undefined;
  #cancelPoll = () => {};

  /** Throws what `Deno.listenTls` throws for an address or a certificate it does not take. */
  constructor(hostname: string, port: number, files: TlsFiles, parts: TlsParts) {
    this.#hostname = hostname;
    this.#files = files;
    this.#parts = parts;
    this.#listener = this.#listen(port);
    this.port = this.#listener.addr.port;
    this.#queue = new QueueEnd(parts.clock, this.#listener.addr, () => this.#close());
    this.finished = this.#accept().then(() => this.#queue.over());
    // A rejection that nobody awaits must not count as unhandled.
    this.finished.catch(() => {});
    this.#pollLater();
  }

  /** Where the system says that it listens. */
  get addr(): Deno.Addr {
    return this.#listener.addr;
  }

  /** Accepts the clients in the kernel's queue, and then no more. */
  end(): void {
    this.#queue.begin(false);
  }

  /** Stops accepting at once. */
  close(): void {
    this.#queue.begin(true);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelPoll();
    // During a reload there may be no listener.
    if (!this.#reloading) this.#listener.close();
  }

  /** Reads the files, and listens again if they have changed. */
  async reload(): Promise<void> {
    const before = this.#files;
    const { certPath, keyPath, cert, key } = before;
    try {
      const files = {
        certPath,
        keyPath,
        cert: await Deno.readTextFile(certPath),
        key: await Deno.readTextFile(keyPath),
      };
      if (this.#closed || this.#files !== before) return;
      if (files.cert === cert && files.key === key) return void (this.#complaint = undefined);
      // Tried on another port first: a bad pair must not replace the good one.
      Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert: files.cert, key: files.key }).close();
      this.#files = files;
      this.#complaint = undefined;
    } catch (error) {
      // Usually the files are only partly written; the next reload finds them complete.
      const complaint = error instanceof Error ? error.message : String(error);
      if (complaint === this.#complaint) return;
      this.#complaint = complaint;
      return this.#parts.onReload(complaint);
    }
    this.relisten();
  }

  /** Uses a certificate that was found good, from files that may have other paths; the next poll reads these. */
  useFiles(files: TlsFiles): void {
    const isSame = files.cert === this.#files.cert && files.key === this.#files.key;
    this.#files = files;
    this.#complaint = undefined;
    if (!isSame) this.relisten();
  }

  /** Listens again, with the present certificate and protocols. */
  relisten(): void {
    if (this.#closed || this.#reloading) return;
    this.#reloading = true;
    this.#listener.close();
  }

  #listen(port: number): Deno.TlsListener {
    const { cert, key } = this.#files;
    const alpnProtocols = ["h2", "http/1.1"];
    return Deno.listenTls({ hostname: this.#hostname, port, cert, key, alpnProtocols });
  }

  #pollLater(): void {
    this.#cancelPoll = this.#parts.clock.after(POLL_MS, async () => {
      await this.reload();
      if (!this.#closed) this.#pollLater();
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
          () => void this.#admit(conn, peer).catch((error) => onError(error, peer)),
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

  /** The present listener, made again after `relisten`; undefined after `close`. */
  #current(): Deno.TlsListener | undefined {
    if (this.#closed) return undefined;
    if (this.#reloading) {
      this.#listener = this.#listen(this.port);
      this.#reloading = false;
    }
    return this.#listener;
  }

  /** Resolves when one more client may be accepted. */
  async #room(): Promise<void> {
    const { server, http2, handshakes, clock } = this.#parts;
    while (!this.#closed && !server.hasRoom && !http2.giveWay()) {
      await Promise.race([server.room(), sleep(clock, ROOM_MS)]);
    }
    while (!this.#closed && !handshakes.makeRoom()) await sleep(clock, HANDSHAKE_ROOM_MS);
  }

  async #admit(conn: Deno.TlsConn, address: string): Promise<void> {
    const { clientLimit, clientOf } = this.#parts;
    const peer = clientOf === undefined ? address : await clientOf(conn);
    if (peer === undefined) return closeConn(conn);
    const place = clientLimit?.enter(peer);
    if (clientLimit === undefined) return await this.#serve(conn, peer);
    if (place === undefined) return closeConn(conn);
    try {
      await this.#serve(conn, peer);
    } finally {
      clientLimit.leave(place);
    }
  }

  async #serve(conn: Deno.TlsConn, peer: string): Promise<void> {
    const { server, http2, clock, handshakes, cut } = this.#parts;
    const handshake = handshakes.add(conn, peer);
    const cancel = clock.after(HANDSHAKE_MS, () => handshakes.end(handshake));
    // Undefined if it is not TLS, too slow, or one of too many: the client sees the connection end.
    const protocol = await conn.handshake().then((done) => done.alpnProtocol, () => undefined);
    cancel();
    if (!handshakes.delete(handshake) || protocol === undefined) return closeConn(conn);
    const wrapped = denoConn(conn, () => cut(conn, this.#served));
    this.#served.add(conn);
    try {
      if (protocol === "h2") await serveOther(server, http2, wrapped, peer);
      else await server.serve(wrapped, peer);
    } finally {
      this.#served.delete(conn);
    }
  }
}
