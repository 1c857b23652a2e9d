/** TLS toward clients: several certificates, one of which is chosen by the name that a client asks for (SNI, RFC 6066). */
import { namesOf } from "./certificate_names.ts";
import { textAt } from "./open_openssl.ts";
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
/** SSL*, int* alert, void*. */
const CHOOSE_NAME = { parameters: ["pointer", "pointer", "pointer"], result: "i32" } as const;
/** SSL*, const unsigned char** out, unsigned char* its length, the client's list, its length, void*. */
const CHOOSE_PROTOCOL = {
  parameters: ["pointer", "pointer", "pointer", "pointer", "u32", "pointer"],
  result: "i32",
} as const;

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
  readonly pair: CertifiedKey;
  readonly names: readonly string[];
}

/** The TLS of one port in one thread. */
export class TlsServerContext extends TlsContext {
  #choices: readonly Choice[] = [];
  /** By name or wildcard, in lower case; of several with the same one the first. */
  #byName: ReadonlyMap<string, Choice> = new Map();
  #clientCa: string | undefined;
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
      this.renew(settings);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Uses these from the next handshake on. What stays the same is used again, since a certificate with its key costs
   * about a millisecond. Throws a `CertificateError` for one that cannot be used, and changes nothing then.
   */
  renew(settings: Omit<TlsServerSettings, "protocols">): void {
    const { certificates, clientCa, ticketKeys } = settings;
    const known = new Map<string, Choice>();
    if (clientCa === this.#clientCa) {
      for (const choice of this.#choices) known.set(textOf(choice.pair), choice);
    }
    const made: Choice[] = [];
    let next: Choice[];
    try {
      next = certificates.map((pair, index) => {
        const same = known.get(textOf(pair));
        if (same !== undefined) return same;
        const choice = this.#choice(pair, index, clientCa);
        made.push(choice);
        return choice;
      });
    } catch (error) {
      this.#free(made);
      throw error;
    }
    const used = new Set(next);
    // A handshake that is under way holds its own.
    this.#free(this.#choices.filter((choice) => !used.has(choice)));
    this.#choices = next;
    this.#clientCa = clientCa;
    this.#byName = byName(next);
    for (const choice of used) this.#use(choice, ticketKeys);
  }

  #free(choices: readonly Choice[]): void {
    for (const { context } of new Set(choices)) this.openSsl.ssl.SSL_CTX_free(context);
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

  #choice(pair: CertifiedKey, index: number, clientCa: string | undefined): Choice {
    const { openSsl } = this;
    const { ssl, crypto } = openSsl;
    const context = newSslCtx(openSsl);
    let names: string[];
    try {
      const certificate = useCertificate(openSsl, context, pair);
      names = namesOf(openSsl, certificate);
      crypto.X509_free(certificate);
      if (clientCa !== undefined) this.#askClients(context, clientCa);
    } catch (error) {
      ssl.SSL_CTX_free(context);
      throw error instanceof CertificateError ? error : new CertificateError(index, error as Error);
    }
    ssl.SSL_CTX_set_alpn_select_cb(context, this.#chooseProtocol.pointer, null);
    return { context, pair, names };
  }

  #use({ context }: Choice, ticketKeys: Uint8Array<ArrayBuffer>): void {
    const { ssl } = this.openSsl;
    ssl.SSL_CTX_ctrl(context, CTRL_SET_TLSEXT_TICKET_KEYS, BigInt(ticketKeys.length), ticketKeys);
    // Sessions are resumed only where the first half of the name of the key is the same, that is in this service.
    ssl.SSL_CTX_set_session_id_context(context, ticketKeys.slice(0, 16), 16);
    // Nothing is to be chosen of one, and a call back costs some microseconds of each handshake.
    const chooseName = this.#choices.length > 1 ? this.#chooseName.pointer : null;
    ssl.SSL_CTX_callback_ctrl(context, CTRL_SET_TLSEXT_SERVERNAME_CB, chooseName);
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
    // Without one for the name it stays with what it began with, the first of all.
    const choice = this.#choiceFor(name.toLowerCase());
    if (choice !== undefined) ssl.SSL_set_SSL_CTX(session, choice.context);
    return ERR_OK;
  }

  #choiceFor(name: string): Choice | undefined {
    // Some clients send the dot of a fully qualified name.
    const known = name.endsWith(".") ? name.slice(0, -1) : name;
    const dot = known.indexOf(".");
    return this.#byName.get(known) ??
      (dot > 0 ? this.#byName.get(`*${known.slice(dot)}`) : undefined);
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
    this.#free(this.#choices);
    this.#choices = [];
    this.#chooseName.close();
    this.#chooseProtocol.close();
  }
}

function textOf({ cert, key }: CertifiedKey): string {
  return JSON.stringify([cert, key]);
}

function byName(choices: readonly Choice[]): ReadonlyMap<string, Choice> {
  const all = new Map<string, Choice>();
  for (const choice of choices) {
    for (const name of choice.names) if (!all.has(name)) all.set(name, choice);
  }
  return all;
}
