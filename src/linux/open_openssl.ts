/**
 * The system's OpenSSL 3, opened once for each thread, by the first who needs it. Contexts and connections of one
 * thread are used by that thread alone; the library itself is shared by all of them.
 */
import { LIBCRYPTO, LIBSSL } from "./openssl_table.ts";

type Ssl = Deno.DynamicLibrary<typeof LIBSSL>;
type Crypto = Deno.DynamicLibrary<typeof LIBCRYPTO>;

/** The functions of both libraries. */
export interface OpenSsl {
  readonly ssl: Ssl["symbols"];
  readonly crypto: Crypto["symbols"];
}

/**
 * Without it the library frees its tables when the process ends, while other threads may still use them
 * (OPENSSL_INIT_NO_ATEXIT, OPENSSL_init_crypto(3)).
 */
const INIT_NO_ATEXIT = 0x0008_0000n;
/** `OpenSSL_version_num` of 3.0.0. */
const VERSION_MIN = 0x3000_0000n;

let opened: {
  readonly libraries: readonly { close(): void }[];
  readonly functions: OpenSsl;
  users: number;
} | undefined;

/**
 * Opens it if nobody in this thread uses it yet. Throws what `Deno.dlopen` throws, and an error if it is older than
 * version 3.0. Each call needs one of `closeOpenSsl`.
 */
export function openOpenSsl(): OpenSsl {
  opened ??= open();
  opened.users++;
  return opened.functions;
}

function open(): NonNullable<typeof opened> {
  const crypto = Deno.dlopen("libcrypto.so.3", LIBCRYPTO);
  const { OPENSSL_init_crypto, OpenSSL_version_num } = crypto.symbols;
  OPENSSL_init_crypto(INIT_NO_ATEXIT, null);
  const version = OpenSSL_version_num();
  if (version < VERSION_MIN) {
    crypto.close();
    throw new Error(`OpenSSL is too old: 0x${version.toString(16)}`);
  }
  const ssl = Deno.dlopen("libssl.so.3", LIBSSL);
  ssl.symbols.OPENSSL_init_ssl(0n, null);
  const functions = { ssl: ssl.symbols, crypto: crypto.symbols };
  return { libraries: [ssl, crypto], functions, users: 0 };
}

/** Closes it if nobody else in this thread uses it. */
export function closeOpenSsl(): void {
  if (opened === undefined || --opened.users > 0) return;
  for (const library of opened.libraries) library.close();
  opened = undefined;
}

/** The text that a C string holds; empty for a null pointer. */
export function textAt(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** A C string. It is long enough to lie outside of V8's heap, so that its address stays the same. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(text);
  const string = new Uint8Array(new ArrayBuffer(Math.max(bytes.length + 1, 128)));
  string.set(bytes);
  return string;
}

/** Words of the library about its oldest error, which is removed with all others; empty if there is none. */
export function takeReason({ crypto }: OpenSsl): string {
  const code = crypto.ERR_peek_error();
  const text = code === 0n ? "" : textAt(crypto.ERR_reason_error_string(code));
  crypto.ERR_clear_error();
  return text === "" && code !== 0n ? `error 0x${code.toString(16)}` : text;
}
