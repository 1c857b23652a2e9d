/** TLS toward upstreams: their certificates are verified, and sessions are resumed. */
import { cString } from "./open_openssl.ts";
import {
  alpnList,
  type CertifiedKey,
  newSslCtx,
  TlsContext,
  trust,
  useCertificate,
  V_FLAG_PARTIAL_CHAIN,
} from "./tls_context.ts";
import { TlsMemorySession } from "./tls_memory_session.ts";
import { TlsSession } from "./tls_session.ts";

type Pointer = Deno.PointerObject;

const CTRL_SET_TLSEXT_HOSTNAME = 55;
const VERIFY_PEER = 1;
/** X509_check_host(3): names are those of the extension for them, and `*` stands for a whole label. */
const CHECK_NO_PARTIAL_WILDCARDS = 0x4;
const CHECK_NEVER_SUBJECT = 0x20;
/** Upstreams of one service whose last session is kept. */
const SESSIONS_MAX = 100;

/** How upstreams are spoken to. */
export interface TlsClientSettings {
  /** Certificates of authorities to trust in addition to the system's, in PEM. */
  readonly caCerts: readonly string[];
  /** Whether to trust the authorities that the system trusts. */
  readonly trustsSystem: boolean;
  /** What we show to upstreams that ask for a certificate. */
  readonly certificate?: CertifiedKey | undefined;
}

/** Which upstream a connection is to. */
export interface TlsPeer {
  readonly hostname: string;
  readonly port: number;
  /** True if `hostname` is an IP address: then that is verified, and no name is sent. */
  readonly isIp: boolean;
}

/** The TLS of the upstreams of one service in one thread. */
export class TlsClientContext extends TlsContext {
  readonly #context: Pointer;
  /** The last session with each upstream, which the next connection resumes. */
  readonly #sessions = new Map<string, Pointer>();

  /** Throws a `PemError`, and what `openOpenSsl` throws. */
  constructor({ caCerts, trustsSystem, certificate }: TlsClientSettings) {
    super();
    const { ssl, crypto } = this.openSsl;
    this.#context = newSslCtx(this.openSsl);
    try {
      if (trustsSystem) ssl.SSL_CTX_set_default_verify_paths(this.#context);
      crypto.ERR_clear_error();
      for (const pem of caCerts) trust(this.openSsl, this.#context, pem);
      if (certificate !== undefined) {
        crypto.X509_free(useCertificate(this.openSsl, this.#context, certificate));
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    ssl.SSL_CTX_set_verify(this.#context, VERIFY_PEER, null);
    const { bytes, length } = alpnList(["http/1.1"]);
    ssl.SSL_CTX_set_alpn_protos(this.#context, bytes, length);
  }

  /** For a connection on this descriptor, which stays the caller's: what comes from it is fed by the caller. */
  session(fd: number, peer: TlsPeer): TlsSession {
    const { ssl } = this.openSsl;
    const session = this.#newSession(peer);
    ssl.SSL_set_wfd(session, fd);
    this.shakes();
    return new TlsSession(this.#ownerFor(peer), session);
  }

  /** The same for a connection whose bytes the caller carries. */
  inMemory(peer: TlsPeer): TlsMemorySession {
    const session = this.#newSession(peer);
    this.shakes();
    return new TlsMemorySession(this.#ownerFor(peer), session);
  }

  #newSession({ hostname, port, isIp }: TlsPeer): Pointer {
    const { ssl, crypto } = this.openSsl;
    const session = ssl.SSL_new(this.#context);
    if (session === null) throw new Error("OpenSSL cannot make a connection");
    ssl.SSL_set_connect_state(session);
    const params = ssl.SSL_get0_param(session);
    crypto.X509_VERIFY_PARAM_set_flags(params, V_FLAG_PARTIAL_CHAIN);
    const name = cString(hostname);
    if (isIp) crypto.X509_VERIFY_PARAM_set1_ip_asc(params, name);
    else {
      crypto.X509_VERIFY_PARAM_set_hostflags(
        params,
        CHECK_NO_PARTIAL_WILDCARDS | CHECK_NEVER_SUBJECT,
      );
      crypto.X509_VERIFY_PARAM_set1_host(params, name, 0n); // 0: it ends with a zero byte
      ssl.SSL_ctrl(session, CTRL_SET_TLSEXT_HOSTNAME, BigInt(NAMETYPE_HOST_NAME), name);
    }
    const last = this.#sessions.get(keyOf(hostname, port));
    if (last !== undefined) ssl.SSL_set_session(session, last);
    return session;
  }

  #ownerFor({ hostname, port }: TlsPeer) {
    return {
      openSsl: this.openSsl,
      handshakeEnded: () => this.handshakeEnded(),
      leaving: (session: Pointer) => this.#remember(keyOf(hostname, port), session),
    };
  }

  /** Keeps the session of a connection for the next one. Tickets of TLS 1.3 come after the handshake. */
  #remember(peer: string, of: Pointer): void {
    const { ssl } = this.openSsl;
    if (this.isOver) return;
    const session = ssl.SSL_get1_session(of);
    if (session === null) return;
    if (ssl.SSL_SESSION_is_resumable(session) !== 1) return void ssl.SSL_SESSION_free(session);
    const last = this.#sessions.get(peer);
    if (last !== undefined) ssl.SSL_SESSION_free(last);
    else if (this.#sessions.size >= SESSIONS_MAX) return void ssl.SSL_SESSION_free(session);
    this.#sessions.set(peer, session);
  }

  protected override free(): void {
    const { ssl } = this.openSsl;
    for (const session of this.#sessions.values()) ssl.SSL_SESSION_free(session);
    this.#sessions.clear();
    ssl.SSL_CTX_free(this.#context);
  }
}

const NAMETYPE_HOST_NAME = 0;

function keyOf(hostname: string, port: number): string {
  return `${hostname} ${port}`;
}
