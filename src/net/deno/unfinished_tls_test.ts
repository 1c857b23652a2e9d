/** Silent peers in TLS handshakes, on real sockets: they see whether our descriptors were closed. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { kernelUnsupportedReason } from "../../linux/unsupported_reason.ts";
import { denoSockets, dialer } from "./transport.ts";
import { UnfinishedTls } from "./unfinished_tls.ts";
import { certificateFor } from "../testing/certificate.ts";

const onLinux = { ignore: kernelUnsupportedReason() !== undefined };

/** A TLS listener and clients of it that only connect, with the server's ends in the same order. */
async function meet(hostname: string, count: number) {
  const listener = Deno.listenTls({ hostname, port: 0, ...await certificateFor("localhost") });
  const clients: Deno.TcpConn[] = [];
  const served: Deno.TlsConn[] = [];
  for (let i = 0; i < count; i++) {
    clients.push(await Deno.connect({ hostname, port: listener.addr.port }));
    served.push(await listener.accept());
  }
  const handshakes = served.map((conn) => conn.handshake().then(() => {}, () => {}));
  return { listener, clients, served, handshakes };
}

for (const hostname of ["127.0.0.1", "::1"]) {
  Deno.test({
    name: `a connection is ended in its handshake, and no other one with it (${hostname})`,
    ...onLinux,
    async fn() {
      using unfinished = new UnfinishedTls();
      const { listener, clients, served, handshakes } = await meet(hostname, 3);
      const ends: number[] = [];
      const closedByPeer = clients.map((client, i) =>
        client.read(new Uint8Array(1)).then((count) => void (count === null && ends.push(i)))
      );
      for (const one of [1, 0, 2]) {
        unfinished.end(served[one]!, served);
        await Promise.all([closedByPeer[one], handshakes[one]]);
      }
      assertEquals(ends, [1, 0, 2]);
      for (const client of clients) client.close();
      listener.close();
    },
  });
}

Deno.test({
  name: "a peer is silent until a whole first message of the handshake has come",
  ...onLinux,
  async fn() {
    using unfinished = new UnfinishedTls();
    const { listener, clients: [client], served: [conn], handshakes } = await meet("127.0.0.1", 1);
    assertEquals(unfinished.isSilent(conn!), true);
    // A ClientHello of TLS 1.2, made by another client, that arrives in two parts.
    const relay = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const other = await Deno.connect({ hostname: "127.0.0.1", port: relay.addr.port });
    const from = await relay.accept();
    const asking = Deno.startTls(other, { hostname: "localhost" });
    const tls = await asking;
    const failed = tls.handshake().then(() => {}, () => {});
    const hello = new Uint8Array(4096);
    const length = (await from.read(hello))!;
    await client!.write(hello.subarray(0, 20));
    // Bytes that Deno has not read yet count as sent by the peer. It reports no event, so each turn of the event loop
    // is followed by a look.
    while (!unfinished.isSilent(conn!)) await new Promise((resolve) => setTimeout(resolve));
    await client!.write(hello.subarray(20, length));
    // The answer shows that it was read.
    assertEquals((await client!.read(new Uint8Array(1)))! > 0, true);
    assertEquals(unfinished.isSilent(conn!), false);
    unfinished.end(conn!);
    unfinished.end(tls);
    await Promise.all([...handshakes, failed]);
    for (const each of [client!, from, relay, listener]) each.close();
  },
});

Deno.test({
  name:
    "an upstream that is silent in the handshake uses no descriptor after the dial has timed out",
  ...onLinux,
  async fn() {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const clock = new ManualClock();
    const options = { hostname: "127.0.0.1", port, clock, connectMs: 50, tls: {} };
    const dialing = dialer(options)().then(() => {}, () => {});
    const conn = await listener.accept();
    const buffer = new Uint8Array(4096);
    assertEquals((await conn.read(buffer))! > 0, true);
    // It waits for an answer, and gives up when its time is over.
    const ending = (async () => {
      while (await conn.read(buffer) !== null);
    })();
    await clock.advance(50);
    await ending;
    await dialing;
    conn.close();
    listener.close();
    await denoSockets.close();
  },
});
