/**
 * Receives clients over TLS on sockets that can terminate it themselves. After the handshake a connection goes to the
 * server of `http1/`, or, if HTTP/2 was chosen, to that of `http2.ts`.
 */
import { type Clock, sleep } from "../../base/clock.ts";
import { LogLimiter } from "../../base/log_limiter.ts";
import type { Publish } from "../../events/events.ts";
import type { Server } from "../../http1/server.ts";
import type { ClientLimit } from "../../net/client_limit.ts";
import type { Conn } from "../../net/conn.ts";
import type { Acceptee, TlsHandshake, TlsTerminator } from "../../net/transport.ts";
import { Handshakes } from "../handshakes.ts";
import { type Http2, serveOther } from "./http2.ts";

/** The longest TLS handshake, in milliseconds, as all of these. */
const HANDSHAKE_MS = 10_000;
/** How often we check whether there is room for another handshake. */
const HANDSHAKE_ROOM_MS = 5;
/** How often we check whether an idle connection can be closed for a new one. */
const ROOM_MS = 250;
/** How long a drain waits for handshakes that are under way, and how often it looks. */
const LAST_HANDSHAKES_MS = 1_000;
const POLL_MS = 10;
/** How long, and of how many clients at one time, bytes are dropped that come after a failed handshake. */
const DISMISS_MS = 1_000;
const DISMISSED_MAX = 64;
/** They are read in parts of this size. */
const DISMISS_BYTES = 4_096;
/** Handshakes that fail for the same reason are reported at most once in this time. */
const LOG_INTERVAL_MS = 10_000;

/** What it needs from outside. No callback may throw. */
export interface TlsAccepteeParts {
  readonly clock: Clock;
  readonly publish: Publish;
  readonly terminator: TlsTerminator;
  readonly server: Server;
  /** The server of HTTP/2. */
  readonly http2: Pick<Http2, "serve" | "giveWay">;
  /** How many connections one client may have; those of HTTP/2 and handshakes count as well. */
  readonly clientLimit: ClientLimit | undefined;
  /** The most clients at one time. Handshakes have a limit of their own. */
  readonly connectionsMax: number;
  /** Called for each error that has ended the service of one client: a bug. */
  readonly onError: (error: unknown, peer: string) => void;
}

/** Counts of handshakes since the start. */
export interface HandshakeCounts {
  handshakes: number;
  resumed: number;
  failed: number;
}

/** The clients of one port in one thread. */
export class TlsAcceptee implements Acceptee {
  readonly counts: HandshakeCounts = { handshakes: 0, resumed: 0, failed: 0 };
  readonly #parts: TlsAccepteeParts;
  readonly #handshakes: Handshakes<TlsHandshake>;
  readonly #said = new LogLimiter(LOG_INTERVAL_MS);
  readonly #unsaid = new Map<string, number>();
  #dismissed = 0;

  constructor(parts: TlsAccepteeParts) {
    this.#parts = parts;
    this.#handshakes = new Handshakes(parts.clock, parts.connectionsMax, {
      end: (handshake) => handshake.end(),
      isSilent: (handshake) => !handshake.hasBegun,
    });
  }

  get hasRoom(): boolean {
    const { server, http2 } = this.#parts;
    return (server.hasRoom || http2.giveWay()) && this.#handshakes.makeRoom();
  }

  async room(): Promise<void> {
    const { server, http2, clock } = this.#parts;
    while (!server.hasRoom && !http2.giveWay()) {
      await Promise.race([server.room(), sleep(clock, ROOM_MS)]);
    }
    while (!this.#handshakes.makeRoom()) await sleep(clock, HANDSHAKE_ROOM_MS);
  }

  /** Frees a descriptor when there are too few: ends a slow handshake; false if there is none. */
  giveWay(): boolean {
    return this.#handshakes.giveWay();
  }

  async serve(conn: Conn, peer: string): Promise<void> {
    const { clientLimit, onError } = this.#parts;
    const place = clientLimit?.enter(peer);
    if (clientLimit !== undefined && place === undefined) return conn.close();
    try {
      await this.#serve(conn, peer);
    } catch (error) {
      conn.close();
      onError(error, peer);
    } finally {
      if (place !== undefined) clientLimit!.leave(place);
    }
  }

  /** Waits a moment for handshakes that are under way, and ends the rest; `cut` ends the wait. */
  async drain(cut: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    for (let ms = 0; ms < LAST_HANDSHAKES_MS && this.#handshakes.size > 0; ms += POLL_MS) {
      if (cut.aborted) break;
      await sleep(clock, POLL_MS);
    }
    this.#handshakes.endAll();
  }

  async #serve(conn: Conn, peer: string): Promise<void> {
    const { server, http2 } = this.#parts;
    const protocol = await this.#shakeHands(conn, peer);
    if (protocol === undefined) return await this.#dismiss(conn);
    if (protocol !== "h2") return await server.serve(conn, peer);
    await serveOther(server, http2, conn, peer);
  }

  /**
   * Closes a connection whose handshake has failed. A client that goes on sending would get a reset before it has read
   * why it was refused, so what it sends is read and dropped for a moment, unless there are many such clients.
   */
  async #dismiss(conn: Conn): Promise<void> {
    if (this.#dismissed >= DISMISSED_MAX) return conn.close();
    this.#dismissed++;
    const cancel = this.#parts.clock.after(DISMISS_MS, () => conn.close());
    try {
      await conn.closeWrite();
      const dropped = new Uint8Array(DISMISS_BYTES);
      while (await conn.read(dropped) !== null);
    } catch {
      // It broke, or the time is up.
    } finally {
      cancel();
      conn.close();
      this.#dismissed--;
    }
  }

  /** Resolves with the protocol; undefined if the handshake has failed. */
  async #shakeHands(conn: Conn, peer: string): Promise<string | undefined> {
    const { clock, terminator } = this.#parts;
    const handshake = terminator.begin(conn);
    const entry = this.#handshakes.add(handshake, peer);
    let isLate = false;
    const cancel = clock.after(HANDSHAKE_MS, () => {
      isLate = true;
      this.#handshakes.end(entry);
    });
    try {
      const protocol = await handshake.protocol;
      this.counts.handshakes++;
      if (handshake.isResumed) this.counts.resumed++;
      return protocol;
    } catch (error) {
      this.#failed(peer, isLate ? "it took too long" : (error as Error).message);
    } finally {
      cancel();
      this.#handshakes.delete(entry);
    }
  }

  #failed(client: string, reason: string): void {
    const { clock, publish } = this.#parts;
    this.counts.failed++;
    const count = (this.#unsaid.get(reason) ?? 0) + 1;
    this.#unsaid.set(reason, count);
    if (!this.#said.allow(reason, clock.now())) return;
    this.#unsaid.delete(reason);
    publish({ type: "handshake.failed", client, reason, count });
  }
}
