/** What a test asks a server for by name, and what it gets. */
import { cString } from "../open_openssl.ts";
import type { TlsSession } from "../tls_session.ts";

const SYMBOLS = {
  SSL_ctrl: { parameters: ["pointer", "i32", "i64", "buffer"], result: "i64" }, // SSL*, int, long, void*
  SSL_get_SSL_CTX: { parameters: ["pointer"], result: "pointer" }, // const SSL*
} as const;

const CTRL_SET_TLSEXT_HOSTNAME = 55;

/** Lets a client whose handshake has not begun ask for another name than the one that it verifies. */
export function askForName(session: TlsSession, name: string): void {
  const library = Deno.dlopen("libssl.so.3", SYMBOLS);
  library.symbols.SSL_ctrl(session.pointer, CTRL_SET_TLSEXT_HOSTNAME, 0n, cString(name));
  library.close();
}

/** The address of the SSL_CTX that a connection uses. */
export function contextOf(session: TlsSession): bigint {
  const library = Deno.dlopen("libssl.so.3", SYMBOLS);
  const context = library.symbols.SSL_get_SSL_CTX(session.pointer);
  library.close();
  return Deno.UnsafePointer.value(context);
}
