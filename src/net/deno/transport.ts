/**
 * The contract of `net/transport.ts` with Deno's sockets, which run wherever Deno does: dialling within a
 * deadline, with or without TLS, and listening.
 */
import type { Address } from "../../base/address.ts";
import { NEVER_ABORTED, withDeadline } from "../../base/deadline.ts";
import { Fault } from "../../base/fault.ts";
import type { Conn, Dial } from "../conn.ts";
import type { DialOptions, DialTls, ListeningPort, Sockets } from "../transport.ts";
import { bind } from "./bind.ts";
import { denoConn, tune } from "./conn.ts";
import { dial } from "./dial.ts";
import { closeListener, serveListener } from "./listener.ts";
import { leaveListener, passedSocket } from "./passed_listener.ts";
import { QueueEnd } from "./queue_end.ts";
import { UnfinishedTls } from "./unfinished_tls.ts";

/** One for all connections, since it takes time to load. */
const unfinished = new UnfinishedTls();

/** Makes the function that opens connections to one upstream. It rejects with a Fault; nothing was sent then. */
export function dialer(options: DialOptions): Dial {
  return (signal, onConnecting) => open(options, signal, onConnecting);
}

async function open(
  options: DialOptions,
  signal = NEVER_ABORTED,
  onConnecting?: () => void,
): Promise<Conn> {
  const { clock, connectMs, hostname, port, resolver } = options;
  const startedAt = clock.now();
  const limits = { clock, timeoutMs: connectMs, signal, resolver, onConnecting };
  const conn = await dial({ kind: "tcp", host: hostname, port }, limits);
  if (conn === undefined) throw new Fault("connectFailed", "cancelled");
  if (conn instanceof Fault) throw conn;
  tune(conn);
  if (options.tls === undefined) return denoConn(conn);
  const leftMs = connectMs - (clock.now() - startedAt);
  return await secure(conn as Deno.TcpConn, options, leftMs, signal);
}

/** Starts TLS on an open connection, within `timeoutMs` milliseconds. Owns `conn`. */
async function secure(
  conn: Deno.TcpConn,
  options: DialOptions,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Conn> {
  using deadline = withDeadline(signal, timeoutMs, options.clock);
  const isLate = () => deadline.isLate;
  const secured = await shakeHands(conn, options, options.tls!, deadline.signal, isLate);
  return denoConn(secured, () => unfinished.end(secured));
}

/** `startTls` takes no signal and `handshake` no deadline, so closing the connection ends both. */
async function shakeHands(
  conn: Deno.TcpConn,
  options: DialOptions,
  tls: DialTls,
  signal: AbortSignal,
  isLate: () => boolean,
): Promise<Deno.TlsConn> {
  let secured: Deno.TlsConn | undefined;
  let isEnded = false;
  const end = () => {
    if (secured === undefined || isEnded) return;
    isEnded = true;
    unfinished.end(secured);
  };
  signal.addEventListener("abort", end, { once: true });
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
    if (signal.aborted) end();
    else secured?.close();
    throw isLate()
      ? new Fault("connectTimeout", "in the TLS handshake", { cause: error })
      : new Fault("tlsFailed", error instanceof Error ? error.message : String(error), {
        cause: error,
      });
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Plain connections on Deno's sockets. */
export const denoSockets: Sockets = {
  dialer,
  async listen(asked, acceptee, options) {
    const listener = await bind(asked, options);
    if (typeof listener === "string") return listener;
    let [isLeft, isOpen] = [false, true];
    const close = () => {
      if (isLeft && isOpen) leaveListener(listener);
      else closeListener(listener);
      isOpen = false;
    };
    const queue = new QueueEnd(options.clock, listener.addr, close);
    return {
      address: boundTo(asked, listener),
      finished: serveListener(listener, acceptee, options, queue).then(() => queue.over()),
      end: () => queue.begin(false),
      close: () => queue.begin(true),
      passed: () => isOpen ? passedSocket(listener) : undefined,
      leave() {
        isLeft = true;
        queue.begin(true);
      },
    } satisfies ListeningPort;
  },
  close() {
    unfinished[Symbol.dispose]();
    return Promise.resolve();
  },
};

function boundTo(asked: Address, { addr }: Deno.Listener): Address {
  return addr.transport === "tcp" && asked.kind === "tcp" ? { ...asked, port: addr.port } : asked;
}
