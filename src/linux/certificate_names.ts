/** The host names that a certificate is for. */
import type { OpenSsl } from "./open_openssl.ts";

/** Numbers of objects (OBJ_nid2obj(3)). */
const NID_COMMON_NAME = 13;
const NID_SUBJECT_ALT_NAME = 85;
/** GENERAL_NAME_get0_value(3): a DNS name. */
const GEN_DNS = 2;
/** The longest common name that is read, with the zero byte behind it: a host name has up to 253 bytes. */
const COMMON_NAME_BYTES = 256;

/** Where the library writes; outside of V8's heap. */
const KIND = new Int32Array(new ArrayBuffer(128), 0, 1);
const COMMON_NAME = new Uint8Array(new ArrayBuffer(COMMON_NAME_BYTES));

/**
 * In lower case; `*` stands for the first label. They are those of the extension for them, or if it has none, the common
 * name, as X509_check_host(3) has it.
 */
export function namesOf(openSsl: OpenSsl, certificate: Deno.PointerObject): string[] {
  const { crypto } = openSsl;
  const alternatives = crypto.X509_get_ext_d2i(certificate, NID_SUBJECT_ALT_NAME, null, null);
  const names: string[] = [];
  if (alternatives !== null) {
    const count = crypto.OPENSSL_sk_num(alternatives);
    for (let at = 0; at < count; at++) {
      const value = crypto.GENERAL_NAME_get0_value(
        crypto.OPENSSL_sk_value(alternatives, at),
        KIND,
      );
      if (KIND[0] === GEN_DNS) names.push(textOf(openSsl, value));
    }
    crypto.GENERAL_NAMES_free(alternatives);
  }
  if (names.length === 0) names.push(commonName(openSsl, certificate));
  crypto.ERR_clear_error();
  return names.filter((name) => name !== "").map((name) => name.toLowerCase());
}

function textOf({ crypto }: OpenSsl, string: Deno.PointerValue): string {
  const data = crypto.ASN1_STRING_get0_data(string);
  const length = crypto.ASN1_STRING_length(string);
  if (data === null || length <= 0) return "";
  return new TextDecoder().decode(Deno.UnsafePointerView.getArrayBuffer(data, length).slice(0));
}

function commonName({ crypto }: OpenSsl, certificate: Deno.PointerObject): string {
  const subject = crypto.X509_get_subject_name(certificate);
  const length = crypto.X509_NAME_get_text_by_NID(
    subject,
    NID_COMMON_NAME,
    COMMON_NAME,
    COMMON_NAME_BYTES,
  );
  return length <= 0 ? "" : new TextDecoder().decode(COMMON_NAME.slice(0, length));
}
