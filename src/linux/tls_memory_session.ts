/** A TLS connection in memory: what comes from the peer is fed to it, and what is for the peer is drained from it. */
import type { OpenSsl } from "./open_openssl.ts";
import { newBuffer, type SessionOwner, TlsSession } from "./tls_session.ts";

type Pointer = Deno.PointerObject;

/** Made by a context. `free` must be called in the end. */
export class TlsMemorySession extends TlsSession {
  readonly #openSsl: OpenSsl;
  /** Freed with the connection. */
  readonly #outgoing: Pointer;

  constructor(owner: SessionOwner, session: Pointer) {
    super(owner, session);
    this.#openSsl = owner.openSsl;
    this.#outgoing = newBuffer(this.#openSsl);
    this.#openSsl.ssl.SSL_set0_wbio(session, this.#outgoing);
  }

  /** Takes bytes that are to be sent to the peer. Returns their number; 0 if there are none. */
  drain(room: Uint8Array<ArrayBuffer>): number {
    if (this.pointer === null) return 0;
    return Math.max(0, this.#openSsl.crypto.BIO_read(this.#outgoing, room, room.length));
  }
}
