/** Both ends of a connection in memory: bytes, their end, and what is wrong on the way. */
import { assert, assertEquals } from "@std/assert";
import { EAGAIN, EPROTO } from "./errno.ts";
import { Dice, seeds } from "../base/testing/dice.ts";
import { Authority } from "./testing/authority.ts";
import { keyUpdates } from "./testing/key_updates.ts";
import { renegotiations, speakTls12 } from "./testing/renegotiations.ts";
import { carry, opensslTest, received, shakeHands } from "./testing/tls_pair.ts";
import { TlsClientContext } from "./tls_client.ts";
import type { TlsMemorySession } from "./tls_memory_session.ts";
import { TICKET_KEYS_BYTES } from "./ticket_keys.ts";
import { TlsServerContext } from "./tls_server.ts";

const PEER = { hostname: "localhost", port: 443, isIp: false };
const ALERT = 21;
const text = (words: string) => new TextEncoder().encode(words);

/** Both contexts of a service that the authority has certified. */
async function withContexts(
  run: (client: TlsClientContext, server: TlsServerContext) => void,
): Promise<void> {
  await using authority = await Authority.make();
  const certificates = [await authority.certify({ names: ["localhost"] })];
  const ticketKeys = new Uint8Array(TICKET_KEYS_BYTES);
  using server = new TlsServerContext({ certificates, protocols: ["http/1.1"], ticketKeys });
  using client = new TlsClientContext({ caCerts: [authority.cert], trustsSystem: false });
  run(client, server);
}

function withPair(
  run: (client: TlsMemorySession, server: TlsMemorySession) => void,
): Promise<void> {
  return withContexts((clients, servers) => {
    const [client, server] = [clients.inMemory(PEER), servers.inMemory()];
    assertEquals(shakeHands(client, server), [0, 0]);
    run(client, server);
    client.free();
    server.free();
  });
}

opensslTest(
  "what one end sends the other receives, also while its buffers change place",
  () =>
    withPair((client, server) => {
      assertEquals([client.protocol, server.protocol], ["http/1.1", "http/1.1"]);
      assertEquals(client.send(text("hello!"), 5), 5);
      carry(client, server);
      assertEquals(received(server), "hello");
      assertEquals(server.receive(new Uint8Array(9)), -EAGAIN);
      const large = new Uint8Array(100_000).fill(7);
      assertEquals(server.send(large, large.length), large.length);
      carry(server, client);
      let count = 0;
      for (let got = 1; got > 0; count += Math.max(0, got)) {
        got = client.receive(new Uint8Array(999));
      }
      assertEquals(count, large.length);
      assertEquals(client.send(text(""), 0), 0);
    }),
);

opensslTest(
  "an end in order is an end, after which the other side may still send",
  () =>
    withPair((client, server) => {
      assertEquals([client.end(), client.end()], [0, 0]);
      carry(client, server);
      assertEquals(server.receive(new Uint8Array(9)), 0);
      assertEquals(server.send(text("late"), 4), 4);
      carry(server, client);
      assertEquals(received(client), "late");
    }),
);

opensslTest(
  "an end without close_notify is told: something may be missing",
  () =>
    withPair((client, server) => {
      client.feedEnd();
      assertEquals(client.receive(new Uint8Array(9)), -EPROTO);
      assertEquals(client.why, "the connection ended without close_notify: it may have been cut");
      // Nothing may be sent after that, but the alert that was.
      assertEquals([client.end(), client.send(text("more"), 4)], [0, -EPROTO]);
      carry(client, server);
      assertEquals(server.receive(new Uint8Array(9)), -EPROTO);
    }),
);

opensslTest(
  "a byte that was changed on the way ends the connection",
  () =>
    withPair((client, server) => {
      client.send(text("hello"), 5);
      const record = new Uint8Array(200);
      const count = client.drain(record);
      record[count - 1]! ^= 1;
      server.feed(record.slice(0, count));
      assertEquals(server.receive(new Uint8Array(9)), -EPROTO);
      assert(server.why !== "");
    }),
);

opensslTest(
  "what is not TLS is refused, and an end in the middle as well",
  () =>
    withContexts((clients, servers) => {
      const plain = servers.inMemory();
      assertEquals([plain.handshake(), plain.hasBegun], [-EAGAIN, false]);
      plain.feed(text("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
      assertEquals(plain.handshake(), -EPROTO);
      assertEquals([plain.why, plain.hasBegun], ["the peer does not speak TLS", true]);
      plain.free();
      plain.free();
      assertEquals([plain.handshake(), plain.receive(text("a")), plain.send(text("a"), 1)], [
        -EPROTO,
        -EPROTO,
        -EPROTO,
      ]);
      const cut = servers.inMemory();
      const client = clients.inMemory(PEER);
      client.handshake();
      carry(client, cut, 20);
      assertEquals([cut.handshake(), cut.hasBegun], [-EAGAIN, false]);
      cut.feedEnd();
      assertEquals([cut.handshake(), cut.why], [-EPROTO, "the peer ended the connection"]);
      cut.free();
      client.free();
      const whole = servers.inMemory();
      const another = clients.inMemory(PEER);
      another.handshake();
      carry(another, whole);
      assertEquals([whole.handshake(), whole.hasBegun], [-EAGAIN, true]);
      whole.free();
      another.free();
    }),
);

opensslTest(
  "garbage in any part of a handshake ends it, by seeds, and never the process",
  () =>
    withContexts((clients, servers) => {
      for (const seed of seeds(200)) {
        const dice = new Dice(seed);
        const [client, server] = [clients.inMemory(PEER), servers.inMemory()];
        let results = [-EAGAIN, -EAGAIN];
        for (let round = 0; round < 8; round++) {
          const step = [client.handshake(), server.handshake()];
          results = results.map((before, end) => before === -EPROTO ? before : step[end]!);
          for (const [from, to] of [[client, server], [server, client]] as const) {
            const bytes = new Uint8Array(8_192);
            const count = from.drain(bytes);
            const cut = dice.under(20) === 0 ? dice.under(count + 1) : count;
            if (count > 0 && dice.under(3) === 0) bytes[dice.under(count)]! ^= 1 + dice.under(255);
            to.feed(bytes.slice(0, cut));
          }
        }
        for (const result of results) {
          assert([0, -EAGAIN, -EPROTO].includes(result), `seed ${seed}`);
        }
        client.free();
        server.free();
      }
    }),
);

opensslTest(
  "keys may be changed, and messages without data are too many at some point",
  () =>
    withPair((client, server) => {
      for (let time = 0; time < 2; time++) {
        // What carries data begins the count anew.
        server.feed(keyUpdates(client, 1_500));
        assertEquals([server.receive(new Uint8Array(9)), server.isDrained], [-EAGAIN, true]);
        client.send(text("hello"), 5);
        carry(client, server);
        assertEquals([server.isDrained, received(server)], [false, "hello"]);
      }
      server.feed(keyUpdates(client, 3_000));
      assertEquals(server.receive(new Uint8Array(9)), -EPROTO);
      assertEquals(server.why, "the peer sends messages without data");
    }),
);

opensslTest(
  "a client of TLS 1.2 that asks for other handshakes gets none, and is refused at some point",
  () =>
    withContexts((clients, servers) => {
      const [client, server] = [clients.inMemory(PEER), servers.inMemory()];
      speakTls12(client);
      assertEquals(shakeHands(client, server), [0, 0]);
      // One is answered by a warning alone, and the connection goes on.
      server.feed(renegotiations(client, 1));
      assertEquals(server.receive(new Uint8Array(9)), -EAGAIN);
      const answer = new Uint8Array(100);
      assertEquals([server.drain(answer), answer[0]], [5 + 8 + 2 + 16, ALERT]);
      server.feed(renegotiations(client, 3_000, 2));
      assertEquals(server.receive(new Uint8Array(9)), -EPROTO);
      assertEquals(server.why, "the peer sends messages without data");
      client.free();
      server.free();
    }),
);

opensslTest(
  "thousands of handshakes, failed ones and new certificates leave no memory behind",
  async () => {
    // In a process of its own, in which nothing else takes memory.
    const program = new URL("./testing/handshakes_program.ts", import.meta.url).pathname;
    const args = ["run", "-A", "--no-check", "--v8-flags=--expose-gc", program];
    const { stdout } = await new Deno.Command("deno", { args, stderr: "inherit" }).output();
    const [before, after] = JSON.parse(new TextDecoder().decode(stdout));
    // A thousand connections of OpenSSL that nobody freed would take more than 10 MB. A null: glibc is too old.
    if (before !== null) assert(after - before < 1_000_000, `${after - before} bytes more`);
  },
);
