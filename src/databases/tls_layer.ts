/**
 * TLS in the middle of a connection, by `node:tls`: Deno's own TLS always verifies the name in the certificate, and
 * PostgreSQL's and MySQL's usual modes do not. It neither reads nor writes the connection itself. Loaded when the
 * first connection needs it.
 */
import { Duplex } from "node:stream";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { Fault } from "../base/fault.ts";
import { isIp } from "../base/ip.ts";

/** How much of the server's certificate is verified. */
export interface TlsSettings {
  /** `none`: nothing; `ca`: that a trusted authority has signed it; `full`: also that it is for this host. */
  readonly verify: "none" | "ca" | "full";
  /** The authorities to trust instead of the usual ones, in PEM. */
  readonly ca?: string;
}

/** The connection under it. Nothing here may throw. */
export interface TlsEnds {
  /** Sends encrypted bytes to the server. */
  readonly send: (bytes: Uint8Array) => void;
  /** Receives decrypted bytes; they may be kept. */
  readonly arrived: (bytes: Uint8Array) => void;
  /** The connection is of no use any more. */
  readonly ended: (fault: Fault) => void;
}

/** The client's side of one TLS connection. */
export class TlsLayer {
  /** Resolves after the handshake; rejects with a `Fault` if it fails. */
  readonly ready: Promise<void>;
  readonly #below: Duplex;
  readonly #socket: TLSSocket;

  constructor(settings: TlsSettings, host: string, ends: TlsEnds) {
    this.#below = new Duplex({
      read() {},
      write(chunk: Uint8Array, _encoding, done) {
        ends.send(chunk);
        done();
      },
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    // Whoever started it may have given up, and awaits it no more.
    promise.catch(() => {});
    this.#socket = connect(optionsOf(settings, host, this.#below));
    this.#socket.once("secureConnect", resolve);
    this.#socket.on("data", ends.arrived);
    const fail = (fault: Fault) => {
      reject(fault);
      ends.ended(fault);
    };
    this.#socket.on("error", (error: Error) => fail(new Fault("tlsFailed", error.message)));
    this.#below.on("error", (error) => fail(new Fault("tlsFailed", error.message)));
    const over = () => fail(new Fault("responseCut", "the server ended the connection"));
    this.#socket.on("end", over);
    this.#socket.on("close", over);
  }

  /** Encrypts and sends. */
  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Takes bytes from the server, and keeps them. */
  receive(bytes: Uint8Array): void {
    this.#below.push(bytes);
  }

  /** The server has closed its sending side. */
  receivedEnd(): void {
    this.#below.push(null);
  }

  /** Tells the server that nothing more comes (close_notify). */
  end(): void {
    this.#socket.end();
  }

  /** Frees it; nothing is called afterwards but `ends.ended`. */
  destroy(): void {
    this.#socket.destroy();
    this.#below.destroy();
  }
}

function optionsOf({ verify, ca }: TlsSettings, host: string, socket: Duplex): ConnectionOptions {
  return {
    socket: socket as unknown as TLSSocket,
    host,
    // A literal address is no server name (RFC 6066 section 3).
    ...isIp(host) ? {} : { servername: host },
    rejectUnauthorized: verify !== "none",
    ...verify === "ca" ? { checkServerIdentity: () => undefined } : {},
    ...ca === undefined ? {} : { ca },
  };
}
