/** TLS toward clients: several certificates, one of which is chosen by the name that a client asks for (SNI, RFC 6066). */
import { cString, textAt } from "./open_openssl.ts";
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

const CTRL_SET_TLSEXT_SERVERNAME_CB = 53;
const CTRL_SET_TLSEXT_TICKET_KEYS = 59;
const NAMETYPE_HOST_NAME = 0;
const VERIFY_PEER = 1;
const VERIFY_FAIL_IF_NO_PEER_CERT = 2;
/** What a callback returns (SSL_CTX_set_tlsext_servername_callback(3), SSL_CTX_set_alpn_select_cb(3)). */
const ERR_OK = 0;
const ERR_ALERT_FATAL = 2;
/** SSL_select_next_proto(3). */
const NEGOTIATED = 1;
/** X509_check_host(3). */
const CHECK_NO_WILDCARDS = 0x2;
const CHECK_NO_PARTIAL_WILDCARDS = 0x4;
/** SSL*, int* alert, void*. */
const CHOOSE_NAME = { parameters: ["pointer", "pointer", "pointer"], result: "i32" } as const;
/** SSL*, const unsigned char** out, unsigned char* its length, the client's list, its length, void*. */
const CHOOSE_PROTOCOL = {
  parameters: ["pointer", "pointer", "pointer", "pointer", "u32", "pointer"],
  result: "i32",
} as const;
/** Names of which we remember the certificate; clients can make up any number of them. */
const NAMES_MAX = 1_000;

/** How clients are received. */
export interface TlsServerSettings {
  /** At least one. The first is for clients that ask for no name, or for one that no certificate has. */
  readonly certificates: readonly CertifiedKey[];
  /** Best first (ALPN). A client that offers some, but none of these, is refused. */
  readonly protocols: readonly string[];
  /** Certificates of the authorities by which clients must be certified, in PEM. Without it no client is asked. */
  readonly clientCa?: string | undefined;
  /** Encrypts session tickets. All threads and processes that have the same can resume each other's sessions. */
  readonly ticketKeys: Uint8Array<ArrayBuffer>;
}

/** A certificate that cannot be used; `index` is its place in the list, undefined for the client authorities. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";

  constructor(readonly index: number | undefined, override readonly cause: Error) {
    super(cause.message, { cause });
  }
}

interface Choice {
  readonly context: Pointer;
  readonly certificate: Pointer;
}

/** The TLS of one port in one thread. */
export class TlsServerContext extends TlsContext {
  readonly #choices: Choice[] = [];
  readonly #byName = new Map<string, Choice>();
  readonly #alpn: ReturnType<typeof alpnList>;
  readonly #chooseName: Deno.UnsafeCallback<typeof CHOOSE_NAME>;
  readonly #chooseProtocol: Deno.UnsafeCallback<typeof CHOOSE_PROTOCOL>;

  /** Throws a `CertificateError` for a certificate that cannot be used, and what `openOpenSsl` throws. */
  constructor(settings: TlsServerSettings) {
    super();
    this.#alpn = alpnList(settings.protocols);
    this.#chooseName = new Deno.UnsafeCallback(CHOOSE_NAME, (session) => this.#named(session));
    this.#chooseProtocol = new Deno.UnsafeCallback(
      CHOOSE_PROTOCOL,
      (_, out, outLength, list, length) => this.#protocolFor(out, outLength, list, length),
    );
    try {
      settings.certificates.forEach((pair, index) => this.#add(pair, index, settings));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** For a client on this descriptor, which stays the caller's: what comes from it is fed by the caller. */
  session(fd: number): TlsSession {
    const session = this.#newSession();
    this.openSsl.ssl.SSL_set_wfd(session, fd);
    this.shakes();
    return new TlsSession(this, session);
  }

  /** The same for a connection whose bytes the caller carries. */
  inMemory(): TlsMemorySession {
    const session = this.#newSession();
    this.shakes();
    return new TlsMemorySession(this, session);
  }

  #newSession(): Pointer {
    const { ssl } = this.openSsl;
    const session = ssl.SSL_new(this.#choices[0]!.context);
    if (session === null) throw new Error("OpenSSL cannot make a connection");
    ssl.SSL_set_accept_state(session);
    return session;
  }

  #add(pair: CertifiedKey, index: number, settings: TlsServerSettings): void {
    const { openSsl } = this;
    const context = newSslCtx(openSsl);
    try {
      const certificate = useCertificate(openSsl, context, pair);
      this.#choices.push({ context, certificate });
    } catch (error) {
      openSsl.ssl.SSL_CTX_free(context);
      throw new CertificateError(index, error as Error);
    }
    const { ssl } = openSsl;
    const { ticketKeys } = settings;
    ssl.SSL_CTX_ctrl(context, CTRL_SET_TLSEXT_TICKET_KEYS, BigInt(ticketKeys.length), ticketKeys);
    // Sessions are resumed only where the first half of the name of the key is the same, that is in this service.
    ssl.SSL_CTX_set_session_id_context(context, ticketKeys.slice(0, 16), 16);
    ssl.SSL_CTX_set_alpn_select_cb(context, this.#chooseProtocol.pointer, null);
    // Nothing is to be chosen of one, and a call back costs some microseconds of each handshake.
    if (settings.certificates.length > 1) {
      ssl.SSL_CTX_callback_ctrl(context, CTRL_SET_TLSEXT_SERVERNAME_CB, this.#chooseName.pointer);
    }
    if (settings.clientCa !== undefined) this.#askClients(context, settings.clientCa);
  }

  #askClients(context: Pointer, clientCa: string): void {
    const { ssl } = this.openSsl;
    try {
      trust(this.openSsl, context, clientCa, (certificate) => {
        ssl.SSL_CTX_add_client_CA(context, certificate);
      });
    } catch (error) {
      throw new CertificateError(undefined, error as Error);
    }
    const store = ssl.SSL_CTX_get_cert_store(context);
    this.openSsl.crypto.X509_STORE_set_flags(store, V_FLAG_PARTIAL_CHAIN);
    ssl.SSL_CTX_set_verify(context, VERIFY_PEER | VERIFY_FAIL_IF_NO_PEER_CERT, null);
  }

  #named(session: Deno.PointerValue): number {
    const { ssl } = this.openSsl;
    const name = textAt(ssl.SSL_get_servername(session, NAMETYPE_HOST_NAME));
    if (name === "") return ERR_OK;
    const choice = this.#choiceFor(name.toLowerCase());
    if (choice !== this.#choices[0]) ssl.SSL_set_SSL_CTX(session, choice.context);
    return ERR_OK;
  }

  #choiceFor(name: string): Choice {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    if (this.#byName.size >= NAMES_MAX) this.#byName.clear();
    const text = cString(name);
    const length = BigInt(new TextEncoder().encode(name).length);
    const has = ({ certificate }: Choice, flags: number) =>
      this.openSsl.crypto.X509_check_host(certificate, text, length, flags, null) === 1;
    // A certificate for the name itself comes before one for a wildcard.
    const choice = this.#choices.find((each) => has(each, CHECK_NO_WILDCARDS)) ??
      this.#choices.find((each) => has(each, CHECK_NO_PARTIAL_WILDCARDS)) ??
      this.#choices[0]!;
    this.#byName.set(name, choice);
    return choice;
  }

  #protocolFor(
    out: Deno.PointerValue,
    outLength: Deno.PointerValue,
    list: Deno.PointerValue,
    length: number,
  ): number {
    const { bytes, length: ours } = this.#alpn;
    const { ssl } = this.openSsl;
    const result = ssl.SSL_select_next_proto(out, outLength, bytes, ours, list, length);
    return result === NEGOTIATED ? ERR_OK : ERR_ALERT_FATAL;
  }

  protected override free(): void {
    const { ssl, crypto } = this.openSsl;
    for (const { context, certificate } of this.#choices.splice(0)) {
      ssl.SSL_CTX_free(context);
      crypto.X509_free(certificate);
    }
    this.#chooseName.close();
    this.#chooseProtocol.close();
  }
}
