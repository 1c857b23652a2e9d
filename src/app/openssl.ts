/** What the services need of the system's OpenSSL. Loaded only where TLS is configured. Part of the composition root. */
import { rootCertificates } from "node:tls";
import { PemError } from "../linux/pem.ts";
import { closeOpenSsl, openOpenSsl } from "../linux/open_openssl.ts";
import { type CertifiedKey, newSslCtx, useCertificate } from "../linux/tls_context.ts";
import { hasSystemStore } from "../linux/system_store.ts";
import { CertificateError, TlsServerContext } from "../linux/tls_server.ts";
import type { HttpsSettings } from "../gateway/listen.ts";
import type { PairObjection } from "./pem.ts";
import { denoSockets } from "../net/deno/transport.ts";
import { TlsContexts } from "../net/tls_contexts.ts";
import { opensslDialer } from "../net/tls_over_conn.ts";
import type { DialTls, Sockets } from "../net/transport.ts";

/** How the upstreams of a service are dialled. A system without authorities gets those that Deno brings. */
export function dialTlsOf(
  caCerts: readonly string[] | undefined,
  certificate: CertifiedKey | undefined,
): DialTls {
  return {
    ...caCerts === undefined ? {} : { caCerts },
    ...certificate === undefined ? {} : { certificate },
    ...hasSystemStore() ? {} : { systemCerts: rootCertificates },
  };
}

/** Deno's sockets, which dial with OpenSSL's TLS. `close` frees that. */
export function opensslSockets(): Sockets {
  const contexts = new TlsContexts();
  return {
    ...denoSockets,
    dialer: (options) => opensslDialer(options, contexts),
    close() {
      contexts.close();
      return Promise.resolve();
    },
  };
}

/**
 * The reason, for a person, why these certificates cannot be used; undefined if they can. Those that are `inUse` with the
 * same authorities are not tried again: each costs about a millisecond, in which nothing else is done.
 */
export function certificatesObjection(
  { certificates, clientCa, ticketKeys }: HttpsSettings,
  inUse?: HttpsSettings,
): string | undefined {
  const known = new Set(clientCa === inUse?.clientCa ? inUse?.certificates.map(textOf) : []);
  const tried = certificates.filter((each) => !known.has(textOf(each)));
  if (tried.length === 0) return undefined;
  try {
    const settings = { certificates: tried, clientCa, ticketKeys, protocols: [] };
    new TlsServerContext(settings)[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    const { index, message } = error;
    return index === undefined ? `client_ca: ${message}` : `${tried[index]!.certPath}: ${message}`;
  }
}

/** Tries certificates with their keys one by one. It keeps the library open, since opening it costs more than they do. */
export class PairTrial implements Disposable {
  readonly #openSsl = openOpenSsl();

  /** Which part of a pair cannot be used by OpenSSL, and why, for a person; undefined if it can. */
  objection(pair: CertifiedKey): PairObjection | undefined {
    const { ssl, crypto } = this.#openSsl;
    const context = newSslCtx(this.#openSsl);
    try {
      crypto.X509_free(useCertificate(this.#openSsl, context, pair));
      return undefined;
    } catch (error) {
      if (!(error instanceof PemError)) throw error;
      return { part: error.part === "key" ? "key" : "cert", why: error.message };
    } finally {
      ssl.SSL_CTX_free(context);
    }
  }

  [Symbol.dispose](): void {
    closeOpenSsl();
  }
}

function textOf({ cert, key }: CertifiedKey): string {
  return JSON.stringify([cert, key]);
}
