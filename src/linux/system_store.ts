/** Where the system keeps the certificates of the authorities that it trusts. */
import { closeOpenSsl, openOpenSsl, textAt } from "./open_openssl.ts";

/** A certificate in a folder is found by the hash of its subject (SSL_CTX_load_verify_dir(3)). */
const HASHED = /^[0-9a-f]{8}\.\d+$/;

/** True if OpenSSL finds authorities to trust on this system; slim containers often have none. */
export function hasSystemStore(): boolean {
  const { crypto } = openOpenSsl();
  const [file, folder] = [crypto.X509_get_default_cert_file(), crypto.X509_get_default_cert_dir()]
    .map(textAt);
  closeOpenSsl();
  return isFilled(file!) || hasHashed(folder!);
}

function isFilled(path: string): boolean {
  try {
    return Deno.statSync(path).size > 0;
  } catch {
    return false;
  }
}

function hasHashed(folder: string): boolean {
  try {
    return [...Deno.readDirSync(folder)].some(({ name }) => HASHED.test(name));
  } catch {
    return false;
  }
}
