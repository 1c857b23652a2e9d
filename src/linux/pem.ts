/** Certificates and private keys, from PEM (RFC 7468) to objects of OpenSSL. */
import { type OpenSsl, takeReason } from "./open_openssl.ts";

type Pointer = Deno.PointerObject;

/** No more certificates than this are taken from one text: the largest bundles have a few hundred. */
const CERTIFICATES_MAX = 10_000;

/** A certificate or a key that cannot be used; the message says why, for a person. */
export class PemError extends Error {
  override readonly name = "PemError";

  constructor(readonly part: "cert" | "key" | "ca", message: string) {
    super(message);
  }
}

/** All certificates of a text. The caller frees each with X509_free. Throws a `PemError` if there is none. */
export function certificatesOf(openSsl: OpenSsl, pem: string, part: "cert" | "ca"): Pointer[] {
  const { crypto } = openSsl;
  const certificates: Pointer[] = [];
  withBio(openSsl, pem, (bio) => {
    while (certificates.length < CERTIFICATES_MAX) {
      const certificate = crypto.PEM_read_bio_X509(bio, null, null, NO_PASSPHRASE);
      if (certificate === null) break;
      certificates.push(certificate);
    }
  });
  // At the end of the text there is always an error: no further block begins.
  const why = takeReason(openSsl);
  const isEnd = /no start line/i.test(why);
  if (certificates.length > 0 && isEnd) return certificates;
  for (const certificate of certificates) crypto.X509_free(certificate);
  const words = isEnd
    ? "it holds no certificate (PEM)"
    : `a certificate in it cannot be read: ${why}`;
  throw new PemError(part, words);
}

/** The private key of a text. The caller frees it with EVP_PKEY_free. Throws a `PemError` if there is none. */
export function keyOf(openSsl: OpenSsl, pem: string): Pointer {
  let key: Pointer | null = null;
  withBio(openSsl, pem, (bio) => {
    key = openSsl.crypto.PEM_read_bio_PrivateKey(bio, null, null, NO_PASSPHRASE);
  });
  const why = takeReason(openSsl);
  if (key !== null) return key;
  const hasNone = !/^-----BEGIN (\w+ )*PRIVATE KEY-----/m.test(pem);
  throw new PemError("key", hasNone ? "it holds no private key (PEM)" : why);
}

/** Without a passphrase the library would ask for one on the terminal. */
const NO_PASSPHRASE = new Uint8Array(new ArrayBuffer(128));

function withBio(openSsl: OpenSsl, text: string, use: (bio: Pointer) => void): void {
  const { crypto } = openSsl;
  const bytes = new TextEncoder().encode(text);
  const bio = crypto.BIO_new(crypto.BIO_s_mem());
  if (bio === null) throw new Error("out of memory");
  try {
    crypto.ERR_clear_error();
    crypto.BIO_write(bio, bytes, bytes.length);
    use(bio);
  } finally {
    crypto.BIO_free(bio);
  }
}
