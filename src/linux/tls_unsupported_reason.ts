/** Whether this process can use the system's OpenSSL. */
import { TlsClientContext } from "./tls_client.ts";
import { EAGAIN } from "./errno.ts";
import { kernelUnsupportedReason } from "./unsupported_reason.ts";

/** True after an examination that found no reason: the library stays what it is. A shortage does not stay. */
let isUsable = false;

/**
 * The reason, for a person, why TLS on our own sockets is not possible here; undefined if it is. Leaves nothing open.
 */
export function tlsUnsupportedReason(): string | undefined {
  if (isUsable) return undefined;
  const reason = examine();
  isUsable = reason === undefined;
  return reason;
}

function examine(): string | undefined {
  const reason = kernelUnsupportedReason();
  if (reason !== undefined) return reason;
  try {
    selfTest();
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (/cannot open shared object file/.test(text)) return "there is no OpenSSL 3 (libssl.so.3)";
    // What Deno says of it twice.
    return text.replace(/^(Could not open library: )+/, "OpenSSL 3 cannot be opened: ");
  }
}

/** Makes a context, and begins a connection as a client in memory; throws what is not as expected. */
function selfTest(): void {
  using context = new TlsClientContext({ caCerts: [], trustsSystem: false });
  const session = context.inMemory({ hostname: "localhost", port: 443, isIp: false });
  const hello = new Uint8Array(5);
  const result = session.handshake();
  const count = session.drain(hello);
  session.free();
  // A record (22: handshake) of version 3.x (RFC 8446 section 5.1).
  if (result === -EAGAIN && count === hello.length && hello[0] === 22 && hello[1] === 3) return;
  throw new Error(`OpenSSL is not what we take it for: ${session.why}`);
}
