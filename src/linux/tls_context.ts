/**
 * What the TLS connections of one kind have in common, as an SSL_CTX of OpenSSL: protocols and ciphers, of which
 * only those are offered that are considered safe, and the certificates.
 */
import { closeOpenSsl, cString, openOpenSsl, type OpenSsl, takeReason } from "./open_openssl.ts";
import { certificatesOf, keyOf, PemError } from "./pem.ts";
import type { SessionOwner } from "./tls_session.ts";

type Pointer = Deno.PointerObject;

/** A certificate chain, the server's own first, with its private key, both in PEM. */
export interface CertifiedKey {
  readonly cert: string;
  readonly key: string;
}

const CTRL_MODE = 33;
const CTRL_SET_SESS_CACHE_MODE = 44;
const CTRL_CHAIN_CERT = 89;
const CTRL_SET_MIN_PROTO_VERSION = 123;
const TLS1_2 = 0x0303n;
const MODE_ENABLE_PARTIAL_WRITE = 0x1n;
const MODE_ACCEPT_MOVING_WRITE_BUFFER = 0x2n;
/** Only the chain of the operator's file is sent; none is made up from authorities that are trusted. */
const MODE_NO_AUTO_CHAIN = 0x8n;
const MODE_RELEASE_BUFFERS = 0x10n;
const OP_NO_COMPRESSION = 1n << 17n;
const OP_PRIORITIZE_CHACHA = 1n << 21n;
const OP_CIPHER_SERVER_PREFERENCE = 1n << 22n;
const OP_NO_RENEGOTIATION = 1n << 30n;
/** SSL_CTX_set_session_cache_mode(3): sessions are in tickets, or in our hands. */
const SESS_CACHE_OFF = 0n;

/** X509_VERIFY_PARAM_set_flags(3): a trusted certificate ends the chain, whoever has signed it. */
export const V_FLAG_PARTIAL_CHAIN = 0x8_0000n;

/**
 * The suites of TLS 1.2 with forward secrecy and authenticated encryption: "intermediate" of Mozilla's
 * recommendations without DHE. Those of TLS 1.3 are the library's own.
 */
const TLS1_2_SUITES = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** One SSL_CTX, and how many handshakes still need it. */
export abstract class TlsContext implements SessionOwner, Disposable {
  readonly openSsl: OpenSsl;
  #shaking = 0;
  #isOver = false;

  /** Throws what `openOpenSsl` throws. */
  constructor() {
    this.openSsl = openOpenSsl();
  }

  /** True after it was disposed of. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Frees it when the last handshake has ended; connections that have finished theirs go on. */
  [Symbol.dispose](): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#shaking === 0) this.#free();
  }

  /** A connection was made, which keeps the library open until it is freed. */
  protected shakes(): void {
    this.#shaking++;
    openOpenSsl();
  }

  handshakeEnded(): void {
    if (--this.#shaking === 0 && this.#isOver) this.#free();
  }

  leaving(_ssl: Pointer): void {}

  #free(): void {
    this.free();
    closeOpenSsl();
  }

  /** Frees what the context holds, before the library is closed. */
  protected abstract free(): void;
}

/** A new SSL_CTX with the settings that hold for both sides. The caller frees it with SSL_CTX_free. */
export function newSslCtx({ ssl }: OpenSsl): Pointer {
  const context = ssl.SSL_CTX_new(ssl.TLS_method());
  if (context === null) throw new Error("OpenSSL cannot make a context");
  ssl.SSL_CTX_ctrl(context, CTRL_SET_MIN_PROTO_VERSION, TLS1_2, null);
  ssl.SSL_CTX_set_options(
    context,
    OP_NO_COMPRESSION | OP_NO_RENEGOTIATION | OP_CIPHER_SERVER_PREFERENCE | OP_PRIORITIZE_CHACHA,
  );
  const mode = MODE_ENABLE_PARTIAL_WRITE | MODE_ACCEPT_MOVING_WRITE_BUFFER |
    MODE_NO_AUTO_CHAIN | MODE_RELEASE_BUFFERS;
  ssl.SSL_CTX_ctrl(context, CTRL_MODE, mode, null);
  ssl.SSL_CTX_ctrl(context, CTRL_SET_SESS_CACHE_MODE, SESS_CACHE_OFF, null);
  ssl.SSL_CTX_set_cipher_list(context, cString(TLS1_2_SUITES));
  return context;
}

/** Gives a context its certificate, the chain and the key. Throws a `PemError`. Returns the certificate, to be freed. */
export function useCertificate(openSsl: OpenSsl, context: Pointer, pair: CertifiedKey): Pointer {
  const { ssl, crypto } = openSsl;
  const [own, ...chain] = certificatesOf(openSsl, pair.cert, "cert");
  try {
    const isUsed = ssl.SSL_CTX_use_certificate(context, own!) === 1;
    if (!isUsed) throw new PemError("cert", takeReason(openSsl));
    while (chain.length > 0) {
      const isAdded = ssl.SSL_CTX_ctrl_pointer(context, CTRL_CHAIN_CERT, 0n, chain[0]!) === 1n;
      if (!isAdded) throw new PemError("cert", takeReason(openSsl));
      chain.shift(); // the context owns it from here
    }
    useKey(openSsl, context, pair.key);
    return own!;
  } catch (error) {
    for (const each of [own!, ...chain]) crypto.X509_free(each);
    throw error;
  }
}

function useKey(openSsl: OpenSsl, context: Pointer, pem: string): void {
  const { ssl, crypto } = openSsl;
  const key = keyOf(openSsl, pem);
  const isUsed = ssl.SSL_CTX_use_PrivateKey(context, key) === 1 &&
    ssl.SSL_CTX_check_private_key(context) === 1;
  crypto.EVP_PKEY_free(key);
  const why = takeReason(openSsl);
  if (isUsed) return;
  // The second is said of a key of another kind.
  const isOther = /mismatch|no certificate assigned/.test(why);
  const words = isOther ? "it does not belong to the certificate" : why;
  throw new PemError("key", words);
}

/** Lets a context trust the certificates of a text. Throws a `PemError`. */
export function trust(
  openSsl: OpenSsl,
  context: Pointer,
  pem: string,
  each: (certificate: Pointer) => void = () => {},
): void {
  const { ssl, crypto } = openSsl;
  const store = ssl.SSL_CTX_get_cert_store(context);
  for (const certificate of certificatesOf(openSsl, pem, "ca")) {
    crypto.X509_STORE_add_cert(store, certificate);
    each(certificate);
    crypto.X509_free(certificate);
  }
  openSsl.crypto.ERR_clear_error();
}

/** The list of protocols as it is sent (RFC 7301 section 3.1), outside of V8's heap. */
export function alpnList(
  protocols: readonly string[],
): { bytes: Uint8Array<ArrayBuffer>; length: number } {
  const list = protocols.flatMap((name) => [name.length, ...new TextEncoder().encode(name)]);
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(list.length, 128)));
  bytes.set(list);
  return { bytes, length: list.length };
}
