/** Messages of TLS that carry no data. */
import type { TlsMemorySession } from "../tls_memory_session.ts";

const SYMBOLS = {
  SSL_key_update: { parameters: ["pointer", "i32"], result: "i32" }, // SSL*, int
  SSL_do_handshake: { parameters: ["pointer"], result: "i32" }, // SSL*
} as const;

/**
 * The bytes of this many changes of keys (KeyUpdate, RFC 8446 section 4.6.3) of an end whose handshake is over. It may
 * ask the other end to do the same.
 */
export function keyUpdates(
  session: TlsMemorySession,
  count: number,
  isAsking = false,
): Uint8Array<ArrayBuffer> {
  const library = Deno.dlopen("libssl.so.3", SYMBOLS);
  const room = new Uint8Array(64);
  const all: number[] = [];
  for (let made = 0; made < count; made++) {
    library.symbols.SSL_key_update(session.pointer, isAsking ? 1 : 0);
    library.symbols.SSL_do_handshake(session.pointer);
    all.push(...room.subarray(0, session.drain(room)));
  }
  library.close();
  return new Uint8Array(all);
}
