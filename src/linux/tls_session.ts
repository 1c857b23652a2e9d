/**
 * One TLS connection of OpenSSL, which writes to a nonblocking descriptor or to memory. What comes from the peer is fed
 * to it, since a call of the library goes on until it has data, or nothing is left to read: on a descriptor, a peer
 * that sends messages without data, as fast as they are read, would have the thread for itself. Results are those of
 * `Kernel`: numbers of bytes, or negated error numbers, so that it stands where recv(2) and send(2) stand. A result of
 * `-EPROTO` has its reason in `why`.
 */
import { EAGAIN, EPROTO } from "./errno.ts";
import { closeOpenSsl, type OpenSsl, takeReason, textAt } from "./open_openssl.ts";

type Pointer = Deno.PointerObject;

/** SSL_get_error(3). */
const ERROR_SSL = 1;
const ERROR_WANT_READ = 2;
const ERROR_WANT_WRITE = 3;
const ERROR_SYSCALL = 5;
const ERROR_ZERO_RETURN = 6;
/** X509_V_OK, and one that says as little (SSL_get_verify_result(3)). */
const VERIFIED = 0n;

/** SSL_get_state(3): TLS_ST_BEFORE, and TLS_ST_SR_CLNT_HELLO while a part of the first message is there. */
const BEFORE_FIRST_MESSAGE: ReadonlySet<number> = new Set([0, 20]);
/** What a read of an empty buffer returns (BIO_s_mem(3)): 0 is the end, and by default there may be more. */
const CTRL_SET_MEM_EOF_RETURN = 130;
/**
 * A buffer that had this many bytes is replaced when it is empty, since it keeps the memory of the most that it ever
 * had; but not after as many as come in one piece of a long body, of which more may follow at once.
 */
const LARGE_BYTES = 4_096;
const PIECE_BYTES = 32 * 1024;
/**
 * A peer that sends more than this without a byte of data is refused, such as one that changes its keys again and
 * again. A record has up to 16 KB, and so have the tickets for later sessions.
 */
const WITHOUT_DATA_MAX = 64 * 1024;

/** What a connection needs from its context. */
export interface SessionOwner {
  readonly openSsl: OpenSsl;
  /** Called once, when the handshake is over, whether it succeeded or not. */
  handshakeEnded(): void;
  /** Called when the connection is about to be freed; `ssl` may have a session to resume. */
  leaving(ssl: Pointer): void;
}

/** Made by a context. `free` must be called in the end. */
export class TlsSession {
  /** Why it failed, for a person. */
  why = "";
  /** The protocol that both sides chose (ALPN, RFC 7301); empty if none. Known after the handshake. */
  protocol = "";
  /** True if an earlier session was resumed. Known after the handshake. */
  isResumed = false;
  readonly #owner: SessionOwner;
  #ssl: Pointer | null;
  #isShaking = true;
  /** A fatal error has happened: nothing may be sent any more, not even the end. */
  #isBroken = false;
  #endIsSent = false;
  /** What the peer has sent and OpenSSL has not read yet; freed with the connection. */
  #incoming: Pointer;
  #isLarge = false;
  #isPiece = false;
  #isDrained = false;
  /** How much the peer has sent since its last data. */
  #withoutData = 0;

  constructor(owner: SessionOwner, ssl: Pointer) {
    this.#owner = owner;
    this.#ssl = ssl;
    this.#incoming = newBuffer(owner.openSsl);
    owner.openSsl.ssl.SSL_set0_rbio(ssl, this.#incoming);
  }

  /** True if everything that was fed has been read: only more of it can lead to data. */
  get isDrained(): boolean {
    return this.#isDrained;
  }

  /** The peer has sent the first `length` of these bytes. */
  feed(bytes: Uint8Array<ArrayBuffer>, length = bytes.length): void {
    if (this.#ssl === null || length === 0) return;
    this.#isDrained = false;
    this.#withoutData += length;
    if (length > LARGE_BYTES) this.#isLarge = true;
    this.#isPiece = length >= PIECE_BYTES;
    this.#owner.openSsl.crypto.BIO_write(this.#incoming, bytes, length);
  }

  /** The peer sends nothing more. */
  feedEnd(): void {
    if (this.#ssl === null) return;
    this.#isDrained = false;
    this.#owner.openSsl.crypto.BIO_ctrl(this.#incoming, CTRL_SET_MEM_EOF_RETURN, 0n, null);
  }

  /** For its context. */
  get pointer(): Pointer | null {
    return this.#ssl;
  }

  /** Of a server: true once its peer has sent the whole first message of the handshake, or something else. */
  get hasBegun(): boolean {
    if (this.#ssl === null || !this.#isShaking || this.#isBroken) return true;
    return !BEFORE_FIRST_MESSAGE.has(this.#owner.openSsl.ssl.SSL_get_state(this.#ssl));
  }

  /** Makes a step of the handshake: 0 when it is over, `-EAGAIN` when it waits for the peer, or `-EPROTO`. */
  handshake(): number {
    const { openSsl } = this.#owner;
    const ssl = this.#ssl;
    if (ssl === null) return -EPROTO;
    if (!this.#isShaking) return 0;
    openSsl.crypto.ERR_clear_error();
    const result = openSsl.ssl.SSL_do_handshake(ssl);
    if (result === 1) {
      this.#isShaking = false;
      this.#withoutData = 0;
      this.protocol = this.#protocolOf(ssl);
      this.isResumed = openSsl.ssl.SSL_session_reused(ssl) === 1;
      this.#owner.handshakeEnded();
      return 0;
    }
    const outcome = this.#outcome(result);
    // 0 is an end in the middle, and no success.
    if (outcome === 0) return this.#broken("the peer ended the connection");
    return outcome;
  }

  /** Reads into `buffer`. Returns the number of bytes; 0 means that the peer has ended in order. */
  receive(buffer: Uint8Array<ArrayBuffer>): number {
    if (this.#ssl === null) return -EPROTO;
    const { ssl, crypto } = this.#owner.openSsl;
    crypto.ERR_clear_error();
    const count = ssl.SSL_read(this.#ssl, buffer, buffer.length);
    if (count > 0) {
      this.#withoutData = 0;
      return count;
    }
    const outcome = this.#outcome(count);
    if (outcome !== -EAGAIN || this.#withoutData <= WITHOUT_DATA_MAX) return outcome;
    return this.#broken("the peer sends messages without data");
  }

  /**
   * Sends as many of the first `length` bytes as fit. After `-EAGAIN` the next call must begin with the same bytes
   * (SSL_write(3)).
   */
  send(bytes: Uint8Array<ArrayBuffer>, length: number): number {
    if (this.#ssl === null) return -EPROTO;
    const { ssl, crypto } = this.#owner.openSsl;
    crypto.ERR_clear_error();
    let sent = 0;
    while (sent < length) {
      // Each call makes one record.
      const rest = sent === 0 ? bytes : bytes.subarray(sent, length);
      const count = ssl.SSL_write(this.#ssl, rest, length - sent);
      if (count > 0) sent += count;
      else if (sent > 0) break;
      else {
        const outcome = this.#outcome(count);
        return outcome === 0 ? this.#broken("the peer ended the connection") : outcome;
      }
    }
    return sent;
  }

  /**
   * Tells the peer that nothing more follows (close_notify, RFC 8446 section 6.1); reading goes on. Returns
   * `-EAGAIN` if that must be repeated when there is room, and 0 otherwise.
   */
  end(): number {
    if (this.#ssl === null || this.#isShaking || this.#isBroken || this.#endIsSent) return 0;
    const { ssl, crypto } = this.#owner.openSsl;
    crypto.ERR_clear_error();
    const result = ssl.SSL_shutdown(this.#ssl);
    if (result < 0 && this.#outcome(result) === -EAGAIN) return -EAGAIN;
    this.#endIsSent = true;
    return 0;
  }

  /** Frees it; it must not be used any more. May be repeated. */
  free(): void {
    const ssl = this.#ssl;
    if (ssl === null) return;
    if (this.#isShaking) this.#owner.handshakeEnded();
    else if (!this.#isBroken) this.#owner.leaving(ssl);
    this.#ssl = null;
    this.#owner.openSsl.ssl.SSL_free(ssl);
    closeOpenSsl();
  }

  #outcome(result: number): number {
    const { openSsl } = this.#owner;
    const ssl = this.#ssl!;
    const error = openSsl.ssl.SSL_get_error(ssl, result);
    if (error === ERROR_WANT_READ) {
      this.#isDrained = true;
      if (this.#isLarge && !this.#isPiece) this.#shrink(ssl);
      return -EAGAIN;
    }
    if (error === ERROR_WANT_WRITE) return -EAGAIN;
    if (error === ERROR_ZERO_RETURN) return 0;
    const verified = this.#isShaking ? openSsl.ssl.SSL_get_verify_result(ssl) : VERIFIED;
    const reason = takeReason(openSsl);
    if (verified !== VERIFIED) {
      return this.#broken(textAt(openSsl.crypto.X509_verify_cert_error_string(verified)));
    }
    if (error === ERROR_SYSCALL) return this.#broken("the connection broke");
    if (error === ERROR_SSL) return this.#broken(wordsFor(reason, this.#isShaking));
    return this.#broken(reason);
  }

  /** Gives the memory of an empty buffer back. */
  #shrink(ssl: Pointer): void {
    this.#isLarge = false;
    const { openSsl } = this.#owner;
    this.#incoming = newBuffer(openSsl);
    openSsl.ssl.SSL_set0_rbio(ssl, this.#incoming);
  }

  #broken(why: string): number {
    this.#isBroken = true;
    this.why = why;
    return -EPROTO;
  }

  #protocolOf(ssl: Pointer): string {
    const { openSsl } = this.#owner;
    openSsl.ssl.SSL_get0_alpn_selected(ssl, SELECTED, SELECTED_LENGTH);
    const address = Deno.UnsafePointer.create(SELECTED[0]!);
    if (address === null) return "";
    const bytes = Deno.UnsafePointerView.getArrayBuffer(address, SELECTED_LENGTH[0]!);
    return new TextDecoder().decode(bytes.slice(0));
  }
}

/** A new buffer of OpenSSL. Throws if there is no memory for it. */
export function newBuffer({ crypto }: OpenSsl): Pointer {
  const buffer = crypto.BIO_new(crypto.BIO_s_mem());
  if (buffer === null) throw new Error("OpenSSL cannot make a buffer");
  return buffer;
}

/** Where the library writes an address and a length; outside of V8's heap. */
const SELECTED = new BigUint64Array(new ArrayBuffer(128), 0, 1);
const SELECTED_LENGTH = new Uint32Array(new ArrayBuffer(128), 0, 1);

/** The library's words, where a person would not understand them at once. */
function wordsFor(reason: string, isShaking: boolean): string {
  if (/unexpected eof/.test(reason)) {
    return isShaking
      ? "the peer ended the connection"
      : "the connection ended without close_notify: it may have been cut";
  }
  if (
    /^(wrong version number|http request|packet length too long|record too small)$/.test(reason)
  ) {
    return "the peer does not speak TLS";
  }
  // Alerts of the peer are called by the name of the oldest version that has them.
  return reason.replace(/^(sslv3|tlsv1|tlsv13) alert /, "the peer refused: ");
}
