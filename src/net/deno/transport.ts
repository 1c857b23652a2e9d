/**
 * Deno's sockets under `Conn`: dialling with a deadline, TLS, and accepting. The only file of this room
 * that knows Deno.
 *
 * Deno cannot send a RST: what is cut here ends with a FIN, and only the framing tells the peer.
 */
import type { Address } from "../../base/address.ts";
import { AcceptPauses, acceptVerdict } from "../accept.ts";
import { bind } from "./bind.ts";
import { dial } from "./dial.ts";
import { sleep } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import type { Conn, Dial } from "../conn.ts";
import { QueueEnd } from "./queue_end.ts";
import {
  type Acceptee,
  type AcceptOptions,
  type ListeningPort,
  type PlainDialOptions,
  type Sockets,
} from "../transport.ts";

class DenoConn implements Conn {
  readonly #conn: Deno.Conn;
  #closed = false;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  read(buffer: Uint8Array): Promise<number | null> {
    return this.#conn.read(buffer);
  }

  write(bytes: Uint8Array): Promise<number> {
    return this.#conn.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#conn.close();
  }

  reset(): void {
    this.close();
  }
}

/** Takes over a connection that is open. */
export function denoConn(conn: Deno.Conn): Conn {
  return new DenoConn(conn);
}

/** How to reach an upstream; with TLS, the time to connect includes the handshake. */
export interface DialOptions extends PlainDialOptions {
  /** TLS if given. */
  readonly tls?: {
    /** The name to ask for and to check, where it is not `hostname`. */
    readonly serverName?: string;
    /** Certificates to trust beside those Deno trusts anyway, in PEM. */
    readonly caCerts?: readonly string[];
  };
}

/** For whoever calls nothing off. */
const NEVER = new AbortController().signal;

/** A way to open connections to one upstream. It rejects with a Fault; nothing has been sent then. */
export function dialer(options: DialOptions): Dial {
  return (signal) => open(options, signal);
}

async function open(options: DialOptions, signal = NEVER): Promise<Conn> {
  const { clock, connectMs, hostname, port } = options;
  const startedAt = clock.now();
  const limits = { clock, timeoutMs: connectMs, signal };
  const conn = await dial({ kind: "tcp", host: hostname, port }, limits);
  if (conn === undefined) throw new Fault("connectFailed", "called off");
  if (conn instanceof Fault) throw conn;
  const plain = tuned(conn);
  if (options.tls === undefined) return new DenoConn(plain);
  return await secure(
    plain as Deno.TcpConn,
    options,
    connectMs - (clock.now() - startedAt),
    signal,
  );
}

/** TLS on a connection that stands, within `timeoutMs`. Owns `conn`. */
async function secure(
  conn: Deno.TcpConn,
  options: DialOptions,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Conn> {
  const stop = new AbortController();
  let late = false;
  const cancel = options.clock.after(timeoutMs, () => {
    late = true;
    stop.abort();
  });
  const giveUp = () => stop.abort();
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) stop.abort();
  try {
    return new DenoConn(await shakeHands(conn, options, options.tls!, stop.signal, () => late));
  } finally {
    cancel();
    signal.removeEventListener("abort", giveUp);
  }
}

/** `startTls` takes no signal and `handshake` no deadline: closing the connection ends both. */
async function shakeHands(
  conn: Deno.TcpConn,
  options: DialOptions,
  tls: NonNullable<DialOptions["tls"]>,
  signal: AbortSignal,
  isLate: () => boolean,
): Promise<Deno.TlsConn> {
  let secured: Deno.TlsConn | undefined;
  const close = () => secured?.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    secured = await Deno.startTls(conn, {
      hostname: tls.serverName ?? options.hostname,
      alpnProtocols: ["http/1.1"],
      ...(tls.caCerts === undefined ? {} : { caCerts: [...tls.caCerts] }),
    });
    signal.throwIfAborted();
    await secured.handshake();
    return secured;
  } catch (error) {
    if (!signal.aborted) close();
    throw isLate()
      ? new Fault("connectTimeout", "in the TLS handshake", { cause: error })
      : new Fault("tlsFailed", error instanceof Error ? error.message : String(error), {
        cause: error,
      });
  } finally {
    signal.removeEventListener("abort", close);
  }
}

/** Plain connections on Deno's own sockets: they run wherever Deno does. */
export const denoSockets: Sockets = {
  dialer,
  async listen(asked, acceptee, options) {
    const listener = await bind(asked, options);
    if (typeof listener === "string") return listener;
    const queue = new QueueEnd(options.clock, listener.addr, () => closeListener(listener));
    return {
      address: boundTo(asked, listener),
      finished: serveListener(listener, acceptee, options, queue).then(() => queue.over()),
      end: () => queue.begin(false),
      close: () => queue.begin(true),
    } satisfies ListeningPort;
  },
  close: () => Promise.resolve(),
};

function boundTo(asked: Address, { addr }: Deno.Listener): Address {
  return addr.transport === "tcp" && asked.kind === "tcp" ? { ...asked, port: addr.port } : asked;
}

function closeListener(listener: Deno.Listener): void {
  try {
    listener.close();
  } catch (error) {
    // Stopping twice is no news.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/**
 * Accepts for `server` until `listener` is closed; connections beyond its limit stay in the kernel's
 * queue. Resolves when the listener is closed.
 */
export async function serveListener(
  listener: Deno.Listener,
  acceptee: Acceptee,
  options: AcceptOptions,
  queue = new QueueEnd(options.clock, listener.addr, () => closeListener(listener)),
): Promise<void> {
  const pauses = new AcceptPauses();
  for (;;) {
    if (!acceptee.hasRoom) await Promise.race([acceptee.room(), queue.begun]);
    let conn: Deno.Conn;
    try {
      conn = await listener.accept();
    } catch (error) {
      const verdict = acceptVerdict(error);
      if (verdict === "stop") return;
      if (verdict === "again") continue;
      const { pauseMs, isNews } = pauses.next(options.clock.now());
      if (isNews) options.onAcceptFailed?.(error, pauseMs);
      options.onShortage?.();
      await sleep(options.clock, pauseMs);
      continue;
    }
    pauses.over();
    const serve = () => void acceptee.serve(denoConn(tuned(conn)), peerOf(conn));
    const moment = queue.taken(conn.remoteAddr);
    if (moment === undefined) serve();
    else void moment.then(() => queue.isOwn(conn.remoteAddr) ? conn.close() : serve());
  }
}

/** Small answers go at once. A connection that ended meanwhile has no options; its first read tells. */
function tuned(conn: Deno.Conn): Deno.Conn {
  try {
    if (conn.remoteAddr.transport === "tcp") (conn as Deno.TcpConn).setNoDelay(true);
  } catch (error) {
    if (error instanceof TypeError) throw error;
  }
  return conn;
}

function peerOf(conn: Deno.Conn): string {
  const address = conn.remoteAddr;
  return address.transport === "tcp" ? address.hostname : "unix";
}
