/** TLS over connections in memory: both ends are ours, and the pipes between them are as small as a test wants. */
import { assertEquals, assertRejects } from "@std/assert";
import { Authority } from "../linux/testing/authority.ts";
import { opensslTest } from "../linux/testing/tls_pair.ts";
import { TICKET_KEYS_BYTES } from "../linux/ticket_keys.ts";
import { TlsServerContext } from "../linux/tls_server.ts";
import { fakePair } from "./testing/fake_conn.ts";
import { TlsContexts, tlsPeer } from "./tls_contexts.ts";
import { opensslDialer, TlsOverConn } from "./tls_over_conn.ts";
import { ManualClock, realClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";

const OPTIONS = { hostname: "up.test", port: 443, clock: realClock, connectMs: 60_000 };

/** A client and a server whose bytes pass through pipes of this size. */
async function withPair(
  room: number,
  run: (client: TlsOverConn, server: TlsOverConn, cut: () => Promise<void>) => Promise<void>,
): Promise<void> {
  await using authority = await Authority.make();
  const certificates = [await authority.certify({ names: ["up.test"] })];
  const ticketKeys = new Uint8Array(TICKET_KEYS_BYTES);
  using servers = new TlsServerContext({ certificates, protocols: ["http/1.1"], ticketKeys });
  const contexts = new TlsContexts();
  const tls = { caCerts: [authority.cert], systemCerts: [] };
  const [near, far] = fakePair(room);
  const client = new TlsOverConn(near, contexts.of(tls).inMemory(tlsPeer({ ...OPTIONS, tls })));
  const server = new TlsOverConn(far, servers.inMemory());
  await run(client, server, () => near.closeWrite());
  client.close();
  server.close();
  contexts.close();
}

async function text(conn: TlsOverConn, until: string): Promise<string> {
  const buffer = new Uint8Array(100);
  let text = "";
  while (!text.includes(until)) {
    const count = await conn.read(buffer);
    if (count === null) return `${text}(end)`;
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  return text;
}

for (const room of [700, 100_000]) {
  opensslTest(
    `bytes and the end go both ways through pipes of ${room} bytes`,
    () =>
      withPair(room, async (client, server) => {
        await Promise.all([client.handshake(), server.handshake()]);
        const bytes = (words: string) => new TextEncoder().encode(words);
        const [asked] = await Promise.all([text(server, "?"), client.write(bytes("how are you?"))]);
        assertEquals(asked, "how are you?");
        const [told] = await Promise.all([text(client, "!"), server.write(bytes("well!"))]);
        assertEquals(told, "well!");
        const [end] = await Promise.all([text(server, "!"), client.closeWrite()]);
        assertEquals(end, "(end)");
      }),
  );
}

opensslTest(
  "an end without close_notify is told",
  () =>
    withPair(100_000, async (client, server, cut) => {
      await Promise.all([client.handshake(), server.handshake()]);
      await cut();
      const error = await assertRejects(() => text(server, "!"), Error);
      assertEquals(
        error.message,
        "the connection ended without close_notify: it may have been cut",
      );
    }),
);

opensslTest(
  "a dial verifies the upstream, over TLS or without, and says what is wrong",
  async () => {
    await using authority = await Authority.make();
    const { cert, key } = await authority.certify({ names: ["localhost"] });
    await using upstream = Deno.serve(
      { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
      () => new Response("over TLS"),
    );
    const contexts = new TlsContexts();
    const options = { ...OPTIONS, hostname: "127.0.0.1", port: upstream.addr.port };
    const dial = (serverName: string, caCerts = [authority.cert]) =>
      opensslDialer({ ...options, tls: { serverName, caCerts, systemCerts: [] } }, contexts)();
    const conn = await dial("localhost") as TlsOverConn;
    await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assertEquals((await text(conn, "over TLS")).endsWith("over TLS"), true);
    conn.close();
    conn.close();
    const failure = async (dialing: Promise<unknown>) =>
      (await assertRejects(() => dialing, Fault)).message;
    assertEquals(await failure(dial("other.test")), "TLS handshake failed: hostname mismatch");
    assertEquals(
      await failure(dial("localhost", [])),
      "TLS handshake failed: unable to get local issuer certificate",
    );
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const clock = new ManualClock();
    const tls = { caCerts: [authority.cert] };
    const plain = { ...options, port: silent.addr.port, clock };
    const late = failure(opensslDialer({ ...plain, tls }, contexts)());
    using accepted = await silent.accept();
    const hello = new Uint8Array(1);
    assertEquals([await accepted.read(hello), hello[0]], [1, 22]);
    await clock.advance(OPTIONS.connectMs);
    assertEquals(await late, "no answer to connect: in the TLS handshake");
    // A plain dial stays one.
    (await opensslDialer(plain, contexts)()).close();
    assertEquals(clock.pending, 0);
    contexts.close();
  },
);
