/** A TLS connection in memory: what comes from the peer is fed to it, and what is for the peer is drained from it. */
import type { OpenSsl } from "./open_openssl.ts";
import { type SessionOwner, TlsSession } from "./tls_session.ts";

type Pointer = Deno.PointerObject;

/** What a read of an empty buffer returns (BIO_s_mem(3)): 0 is the end, and by default there may be more. */
const CTRL_SET_MEM_EOF_RETURN = 130;

/** Made by a context. `free` must be called in the end. */
export class TlsMemorySession extends TlsSession {
  readonly #openSsl: OpenSsl;
  /** Both are freed with the connection. */
  readonly #incoming: Pointer;
  readonly #outgoing: Pointer;

  constructor(owner: SessionOwner, session: Pointer) {
    super(owner, session);
    const { ssl, crypto } = this.#openSsl = owner.openSsl;
    const [incoming, outgoing] = [0, 0].map(() => crypto.BIO_new(crypto.BIO_s_mem()));
    if (!incoming || !outgoing) throw new Error("OpenSSL cannot make a buffer");
    [this.#incoming, this.#outgoing] = [incoming, outgoing];
    ssl.SSL_set_bio(session, incoming, outgoing);
  }

  /** The peer has sent these bytes. */
  feed(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.pointer === null || bytes.length === 0) return;
    this.#openSsl.crypto.BIO_write(this.#incoming, bytes, bytes.length);
  }

  /** The peer sends nothing more. */
  feedEnd(): void {
    if (this.pointer === null) return;
    this.#openSsl.crypto.BIO_ctrl(this.#incoming, CTRL_SET_MEM_EOF_RETURN, 0n, null);
  }

  /** Takes bytes that are to be sent to the peer. Returns their number; 0 if there are none. */
  drain(room: Uint8Array<ArrayBuffer>): number {
    if (this.pointer === null) return 0;
    return Math.max(0, this.#openSsl.crypto.BIO_read(this.#outgoing, room, room.length));
  }
}
