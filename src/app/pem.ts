/** Why certificates and private keys (PEM, RFC 7468) cannot be used, for a person. No socket is opened. */
import { quote } from "../config/kinds.ts";

/** What is wrong with one part of a pair. */
export interface PairObjection {
  readonly part: "cert" | "key";
  readonly why: string;
}

const NO_USE = "cannot be used";
const MISMATCH = "it does not belong to the certificate";
/** What is said of a text without a certificate. */
export const NO_CERTIFICATE = "it holds no certificate (PEM)";

/** Why a text cannot be used as certificates of authorities; undefined if it can. */
export function whyNoAuthorities(pem: string): string | undefined {
  // Deno accepts a text without certificates and then trusts no additional authority.
  if (!hasCertificate(pem)) return NO_CERTIFICATE;
  const why = objection({ caCerts: [pem] });
  return why === undefined ? undefined : `a certificate in it ${NO_USE}: ${why}`;
}

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/**
 * What is wrong with a certificate chain and its key. `certPath` is where the chain was read, for the reason. `trial`
 * tries the pair by another library than Deno's, which will use it.
 */
export function pairObjections(
  { cert, key }: Pair,
  certPath: string,
  trial?: { objection(pair: Pair): PairObjection | undefined },
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
    const one = trial === undefined ? ofDeno({ cert, key }) : trial.objection({ cert, key });
    if (one !== undefined) found.push(inWords(one, certPath));
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

/** What Deno's TLS library has against a pair. */
function ofDeno(pair: Pair): PairObjection | undefined {
  const why = objection(pair);
  if (why === undefined) return undefined;
  if (/KeyMismatch/.test(why)) return { part: "key", why: MISMATCH };
  return { part: /\bkey\b/i.test(why) ? "key" : "cert", why };
}

function inWords({ part, why }: PairObjection, certPath: string): PairObjection {
  if (why === MISMATCH) return { part, why: `${why} in ${quote(certPath)}` };
  if (/^a certificate in it/.test(why)) return { part, why };
  return { part, why: `its ${part === "cert" ? "certificate" : "key"} ${NO_USE}: ${why}` };
}
