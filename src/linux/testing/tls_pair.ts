/** Two ends of a TLS connection in memory, between which the test carries the bytes. */
import { EAGAIN } from "../errno.ts";
import type { TlsMemorySession } from "../tls_memory_session.ts";
import { tlsUnsupportedReason } from "../tls_unsupported_reason.ts";

/** Names a test that needs the system's OpenSSL and the program `openssl`. */
export function opensslTest(name: string, fn: () => void | Promise<void>): void {
  const hasProgram = tlsUnsupportedReason() === undefined && hasOpenssl();
  Deno.test({ name, ignore: !hasProgram, fn });
}

function hasOpenssl(): boolean {
  try {
    return new Deno.Command("openssl", { args: ["version"] }).outputSync().success;
  } catch {
    return false;
  }
}

/** Carries all bytes that are there from one end to the other; at most `max` of them if that is given. */
export function carry(from: TlsMemorySession, to: TlsMemorySession, max = Infinity): number {
  const room = new Uint8Array(Math.min(max, 16 * 1024));
  let moved = 0;
  for (;;) {
    const count = from.drain(room);
    to.feed(room.slice(0, count));
    moved += count;
    if (count === 0 || moved >= max) return moved;
  }
}

/** Both ends make their handshake. Returns how it has ended for each: 0, or a negated error number. */
export function shakeHands(client: TlsMemorySession, server: TlsMemorySession): [number, number] {
  let [ofClient, ofServer] = [-EAGAIN, -EAGAIN];
  for (let round = 0; round < 10; round++) {
    if (ofClient === -EAGAIN) ofClient = client.handshake();
    carry(client, server);
    if (ofServer === -EAGAIN) ofServer = server.handshake();
    carry(server, client);
  }
  return [ofClient, ofServer];
}

/** What `session` receives as text; empty if nothing is there. */
export function received(session: TlsMemorySession): string {
  const room = new Uint8Array(16 * 1024);
  const count = session.receive(room);
  return count > 0 ? new TextDecoder().decode(room.subarray(0, count)) : "";
}
