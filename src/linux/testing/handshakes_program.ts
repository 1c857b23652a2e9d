/**
 * Makes handshakes in memory, and prints how many bytes C libraries use before the last thousand of them and after
 * it. Needs `--v8-flags=--expose-gc`, since the buffers of our own count as well until they are collected.
 */
import { TICKET_KEYS_BYTES } from "../ticket_keys.ts";
import { TlsClientContext } from "../tls_client.ts";
import { TlsServerContext } from "../tls_server.ts";
import { Authority } from "./authority.ts";
import { nativeBytesInUse } from "./native_memory.ts";
import { carry, received, shakeHands } from "./tls_pair.ts";

const PEER = { hostname: "localhost", port: 443, isIp: false };
const GARBAGE = new TextEncoder().encode("garbage, which is no handshake");

await using authority = await Authority.make();
const certificate = await authority.certify({ names: ["localhost"] });
const ticketKeys = new Uint8Array(TICKET_KEYS_BYTES);

/** With certificates on both sides, every fourth refused, and half of the rest with an end in order. */
function wave(): void {
  const server = { certificates: [certificate], protocols: ["http/1.1"], ticketKeys };
  using servers = new TlsServerContext({ ...server, clientCa: authority.cert });
  using clients = new TlsClientContext({
    ...{ caCerts: [authority.cert], trustsSystem: false, certificate },
  });
  for (let made = 0; made < 50; made++) {
    const [client, end] = [clients.inMemory(PEER), servers.inMemory()];
    if (made % 4 === 0) end.feed(GARBAGE);
    shakeHands(client, end);
    // More than a small buffer holds.
    client.send(new Uint8Array(5_000), 5_000);
    carry(client, end);
    received(end);
    if (made % 2 === 0) client.end();
    client.free();
    end.free();
  }
}

/** How often the memory is measured, before and after, and the pause between two measurements in milliseconds. */
const LOOKS_BEFORE = 10;
const LOOKS_AFTER = 200;
const PAUSE_MS = 20;

/**
 * The least that is in use within a while, or anything below `enough`: V8 frees the buffers that it has collected in
 * threads of its own, which on a busy machine come to it later. What is never freed is in every measurement.
 */
async function measured(looks: number, enough = 0): Promise<number | null> {
  let least = Infinity;
  for (let look = 0; look < looks; look++) {
    (globalThis as unknown as { gc(): void }).gc();
    const used = nativeBytesInUse();
    if (used === undefined) return null;
    least = Math.min(least, used);
    if (least < enough) break;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return least;
}

for (let time = 0; time < 10; time++) wave();
const before = await measured(LOOKS_BEFORE);
for (let time = 0; time < 20; time++) wave();
console.log(JSON.stringify([before, await measured(LOOKS_AFTER, (before ?? 0) + 500_000)]));
