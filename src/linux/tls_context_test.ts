import { assert, assertEquals } from "@std/assert";
import { Authority } from "./testing/authority.ts";
import { opensslTest, shakeHands } from "./testing/tls_pair.ts";
import { alpnList } from "./tls_context.ts";
import { TlsClientContext } from "./tls_client.ts";
import { TICKET_KEYS_BYTES } from "./ticket_keys.ts";
import { TlsServerContext } from "./tls_server.ts";

opensslTest(
  "a context that was disposed of is kept until its last handshake has ended",
  async () => {
    await using authority = await Authority.make();
    const certificates = [await authority.certify({ names: ["localhost"] })];
    const ticketKeys = new Uint8Array(TICKET_KEYS_BYTES);
    const servers = new TlsServerContext({ certificates, protocols: ["http/1.1"], ticketKeys });
    const clients = new TlsClientContext({ caCerts: [authority.cert], trustsSystem: false });
    const client = clients.inMemory({ hostname: "localhost", port: 1, isIp: false });
    const server = servers.inMemory();
    clients[Symbol.dispose]();
    servers[Symbol.dispose]();
    servers[Symbol.dispose]();
    assert(servers.isOver);
    // The test's own check of leaks fails if the callbacks are not closed with it.
    assertEquals(shakeHands(client, server), [0, 0]);
    const bytes = new TextEncoder().encode("on");
    assertEquals([client.send(bytes, 2), client.end()], [2, 0]);
    client.free();
    server.free();
  },
);

Deno.test("protocols are listed with their lengths", () => {
  const { bytes, length } = alpnList(["h2", "http/1.1"]);
  assertEquals(new TextDecoder().decode(bytes.subarray(0, length)), "\x02h2\x08http/1.1");
});
