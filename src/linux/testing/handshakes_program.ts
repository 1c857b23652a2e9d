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

function measured(): number | null {
  (globalThis as unknown as { gc(): void }).gc();
  return nativeBytesInUse() ?? null;
}

for (let time = 0; time < 10; time++) wave();
const before = measured();
for (let time = 0; time < 20; time++) wave();
console.log(JSON.stringify([before, measured()]));
