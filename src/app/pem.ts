/** Why certificates and private keys (PEM, RFC 7468) cannot be used, for a person. Pure: no socket is opened. */
import { quote } from "../config/kinds.ts";

/** What is wrong with one part of a pair. */
export interface PairObjection {
  readonly part: "cert" | "key";
  readonly why: string;
}

const NO_USE = "cannot be used";
/** What is said of a text without a certificate. */
export const NO_CERTIFICATE = "it holds no certificate (PEM)";

/** Why a text cannot be used as certificates of authorities; undefined if it can. */
export function whyNoAuthorities(pem: string): string | undefined {
  // Deno accepts a text without certificates and then trusts no additional authority.
  if (!hasCertificate(pem)) return NO_CERTIFICATE;
  const why = objection({ caCerts: [pem] });
  return why === undefined ? undefined : `a certificate in it ${NO_USE}: ${why}`;
}

/** What is wrong with a certificate chain and its key. `certPath` is where the chain was read, for the reason. */
export function pairObjections(
  { cert, key }: { readonly cert: string; readonly key: string },
  certPath: string,
): PairObjection[] {
  const found: PairObjection[] = [];
  const isCert = hasCertificate(cert);
  if (!isCert) found.push({ part: "cert", why: NO_CERTIFICATE });
  if (hasBlock(key, "ENCRYPTED PRIVATE KEY") || key.includes("\nProc-Type: 4,ENCRYPTED")) {
    const why = "it is encrypted, and there is nobody to ask for the passphrase";
    found.push({ part: "key", why });
  } else if (!hasBlock(key, "(\\w+ )?PRIVATE KEY")) {
    found.push({ part: "key", why: "it holds no private key (PEM)" });
  } else if (isCert) {
    const why = objection({ cert, key });
    if (why !== undefined) found.push(whose(why, certPath));
  }
  return found;
}

/** Whether a text has a certificate, which may be damaged. */
export function hasCertificate(pem: string): boolean {
  return hasBlock(pem, "CERTIFICATE");
}

/** Whether a PEM text has a block of this label. */
function hasBlock(pem: string, label: string): boolean {
  return new RegExp(`^-----BEGIN ${label}-----`, "m").test(pem);
}

/** The error of Deno's TLS library for these certificates or this key; undefined if it accepts them. */
function objection(
  pem: Deno.CreateHttpClientOptions & Partial<Deno.TlsCertifiedKeyPem>,
): string | undefined {
  try {
    Deno.createHttpClient(pem).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Whether an error of the library is about the certificate or its key, and the reason. */
function whose(why: string, certPath: string): PairObjection {
  if (/KeyMismatch/.test(why)) {
    return { part: "key", why: `it does not belong to the certificate in ${quote(certPath)}` };
  }
  return /\bkey\b/i.test(why)
    ? { part: "key", why: `its key ${NO_USE}: ${why}` }
    : { part: "cert", why: `its certificate ${NO_USE}: ${why}` };
}
