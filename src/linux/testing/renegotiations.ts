/** Messages of a client of TLS 1.2 that asks for another handshake on a connection that has had one. */
import { createCipheriv, createHmac } from "node:crypto";
import type { TlsMemorySession } from "../tls_memory_session.ts";

const SYMBOLS = {
  SSL_ctrl: { parameters: ["pointer", "i32", "i64", "pointer"], result: "i64" }, // SSL*, int, long, void*
  SSL_set_cipher_list: { parameters: ["pointer", "buffer"], result: "i32" }, // SSL*, const char*
  SSL_get_session: { parameters: ["pointer"], result: "pointer" }, // const SSL*
  SSL_SESSION_get_master_key: { parameters: ["pointer", "buffer", "usize"], result: "usize" }, // const SSL_SESSION*, unsigned char*, size_t
  SSL_get_client_random: { parameters: ["pointer", "buffer", "usize"], result: "usize" }, // const SSL*, unsigned char*, size_t
  SSL_get_server_random: { parameters: ["pointer", "buffer", "usize"], result: "usize" }, // const SSL*, unsigned char*, size_t
} as const;

const CTRL_SET_MAX_PROTO_VERSION = 124;
const TLS1_2 = 0x0303n;
const HANDSHAKE = 22;
/** A ClientHello that says nothing: a server that refuses looks at no more than its type. */
const HELLO = new Uint8Array([1, 0, 0, 0]);

/** Lets a session whose handshake has not begun speak TLS 1.2 only, with the suite that `renegotiations` knows. */
export function speakTls12(session: TlsMemorySession): void {
  const library = Deno.dlopen("libssl.so.3", SYMBOLS);
  const { SSL_ctrl, SSL_set_cipher_list } = library.symbols;
  SSL_ctrl(session.pointer, CTRL_SET_MAX_PROTO_VERSION, TLS1_2, null);
  const suite = new TextEncoder().encode("ECDHE-ECDSA-AES128-GCM-SHA256\0");
  SSL_set_cipher_list(session.pointer, suite);
  library.close();
}

/**
 * The bytes of this many first messages of a session that `speakTls12` was called for; its handshake is over, and it has
 * sent no data. OpenSSL's own client waits for an answer to its first one, so they are encrypted here (RFC 5246,
 * RFC 5288). `from` is the place of the first of them after the handshake. The session itself cannot send any more.
 */
export function renegotiations(
  session: TlsMemorySession,
  count: number,
  from = 1,
): Uint8Array<ArrayBuffer> {
  const { key, salt } = clientKeys(session);
  const all: Uint8Array[] = [];
  for (let sequence = from; sequence < from + count; sequence++) {
    const explicit = new Uint8Array(8);
    new DataView(explicit.buffer).setBigUint64(0, BigInt(sequence));
    const cipher = createCipheriv("aes-128-gcm", key, joined(salt, explicit));
    cipher.setAAD(joined(explicit, new Uint8Array([HANDSHAKE, 3, 3, 0, HELLO.length])));
    const body = joined(explicit, cipher.update(HELLO), cipher.final(), cipher.getAuthTag());
    all.push(new Uint8Array([HANDSHAKE, 3, 3, body.length >> 8, body.length & 255]), body);
  }
  return joined(...all);
}

/** What the client encrypts with: of the keys for AES-128-GCM the first and the third (RFC 5246 section 6.3). */
function clientKeys(session: TlsMemorySession): { key: Uint8Array; salt: Uint8Array } {
  const library = Deno.dlopen("libssl.so.3", SYMBOLS);
  const { symbols } = library;
  const [master, client, server] = [48, 32, 32].map((length) => new Uint8Array(length));
  symbols.SSL_SESSION_get_master_key(symbols.SSL_get_session(session.pointer), master!, 48n);
  symbols.SSL_get_client_random(session.pointer, client!, 32n);
  symbols.SSL_get_server_random(session.pointer, server!, 32n);
  library.close();
  const hmac = (...parts: Uint8Array[]) =>
    new Uint8Array(createHmac("sha256", master!).update(joined(...parts)).digest());
  const seed = joined(new TextEncoder().encode("key expansion"), server!, client!);
  const first = hmac(seed);
  const block = joined(hmac(first, seed), hmac(hmac(first), seed));
  return { key: block.subarray(0, 16), salt: block.subarray(32, 36) };
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
