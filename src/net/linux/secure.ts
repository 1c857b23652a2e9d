/** TLS on sockets of the kernel: toward upstreams, and toward clients. */
import { endAfter } from "../../base/deadline.ts";
import { Fault } from "../../base/fault.ts";
import { TlsServerContext, type TlsServerSettings } from "../../linux/tls_server.ts";
import type { Conn, Dial } from "../conn.ts";
import { type TlsContexts, tlsPeer } from "../tls_contexts.ts";
import type { DialOptions, TlsHandshake, TlsTerminator } from "../transport.ts";
import type { LinuxConn } from "./conn.ts";
import { linuxDialer } from "./dial.ts";
import type { EmbeddedLoop } from "./embedded_loop.ts";
import { TlsCalls } from "./tls_calls.ts";

/** Makes the function that opens connections to one upstream, over TLS if the options say so. */
export function secureDialer(
  host: EmbeddedLoop,
  options: DialOptions,
  contexts: TlsContexts,
): Dial {
  const { clock, connectMs, tls } = options;
  const dial = linuxDialer(host, options);
  if (tls === undefined) return dial;
  const peer = tlsPeer(options);
  return async (signal, onConnecting) => {
    const startedAt = clock.now();
    const conn = await dial(signal, onConnecting) as LinuxConn;
    const leftMs = Math.max(0, connectMs - (clock.now() - startedAt));
    let end: "late" | "aborted" | undefined;
    const cancel = endAfter(signal, leftMs, clock, (cause) => {
      end = cause;
      conn.reset();
    });
    try {
      const session = contexts.of(tls).session(conn.fd, peer);
      await conn.secure(new TlsCalls(host.loop.kernel, session));
      return conn;
    } catch (error) {
      conn.close();
      throw handshakeFault(error, end);
    } finally {
      cancel();
    }
  };
}

/** The fault of a handshake with an upstream that was ended by us (`end`), or has failed. */
export function handshakeFault(error: unknown, end: "late" | "aborted" | undefined): Fault {
  if (end === "late") return new Fault("connectTimeout", "in the TLS handshake");
  if (end === "aborted") return new Fault("connectFailed", "cancelled");
  return new Fault("tlsFailed", error instanceof Error ? error.message : String(error));
}

/** TLS toward the clients of one port in one thread. */
export class LinuxTerminator implements TlsTerminator {
  readonly #host: EmbeddedLoop;
  readonly #context: TlsServerContext;

  /** Throws a `CertificateError`. */
  constructor(host: EmbeddedLoop, settings: TlsServerSettings) {
    this.#host = host;
    this.#context = new TlsServerContext(settings);
  }

  begin(conn: Conn): TlsHandshake {
    const linux = conn as LinuxConn;
    const session = this.#context.session(linux.fd);
    const calls = new TlsCalls(this.#host.loop.kernel, session);
    return {
      protocol: linux.secure(calls).then(() => session.protocol),
      get hasBegun() {
        return session.hasBegun;
      },
      get isResumed() {
        return session.isResumed;
      },
      end: () => linux.reset(),
    };
  }

  use(settings: TlsServerSettings): void {
    this.#context.renew(settings);
  }

  close(): void {
    this.#context[Symbol.dispose]();
  }
}
