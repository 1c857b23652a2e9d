/** What clients may do to the handshake of the real program: garbage, halves, silence and floods of all that. */
import { assert, assertEquals } from "@std/assert";
import { Dice, seeds } from "../../src/base/testing/dice.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const portOf = (proxy: WebProxy) => Number(proxy.address.split(":")[1]);

/** The first message of a handshake, as a client of Deno's TLS library sends it. */
async function clientHello(): Promise<Uint8Array<ArrayBuffer>> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connecting = (async () => {
    using conn = await Deno.connectTls({ hostname: "127.0.0.1", port: listener.addr.port });
    await conn.handshake().catch(() => {}); // nobody answers
  })();
  using conn = await listener.accept();
  const bytes = new Uint8Array(16_384);
  const count = await conn.read(bytes) ?? 0;
  conn.close();
  await connecting;
  return bytes.slice(0, count);
}

/** One answer over HTTPS. */
async function ask(proxy: WebProxy, cert: string): Promise<string> {
  using client = Deno.createHttpClient({ caCerts: [cert], poolMaxIdlePerHost: 0 });
  const answer = await fetch(`https://localhost:${portOf(proxy)}/`, { client });
  return await answer.text();
}

/** Sends bytes, and resolves when the other side has ended the connection. */
async function sendAndWait(proxy: WebProxy, bytes: Uint8Array, isEnded: boolean): Promise<void> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: portOf(proxy) });
  try {
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    if (isEnded) await conn.closeWrite();
    const room = new Uint8Array(4_096);
    while (await conn.read(room) !== null);
  } catch {
    // A reset is an end as well.
  } finally {
    try {
      conn.close();
    } catch {
      // It is closed already.
    }
  }
}

tlsTest(
  "first messages that are changed, cut and continued with garbage end alone, by seeds",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
    await using proxy = await startWebProxy({ primary, flags });
    const hello = await clientHello();
    assert(hello.length > 100);
    const sending: Promise<void>[] = [];
    for (const seed of seeds(60)) {
      const dice = new Dice(seed);
      const bytes = hello.slice();
      for (let changes = dice.under(4); changes > 0; changes--) {
        bytes[dice.under(bytes.length)]! ^= 1 + dice.under(255);
      }
      const part = bytes.slice(
        0,
        dice.under(2) === 0 ? bytes.length : 1 + dice.under(bytes.length),
      );
      const more = new Uint8Array(dice.under(2_000)).map(() => dice.under(256));
      sending.push(sendAndWait(proxy, new Uint8Array([...part, ...more]), true));
    }
    await withTestDeadline("all connections to end", Promise.all(sending), proxy.lastLines);
    assertEquals(await ask(proxy, tls.cert), "primary");
    assertEquals(proxy.events("proxy.faulted"), []);
    assertEquals(await proxy.stop(), 0);
    assert(proxy.log.every((line) => line.startsWith("{")), proxy.log.join("\n"));
  },
);

tlsTest(
  "clients that are silent, or speak HTTP, keep nobody else from being served, and end",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const flags = {
      "tls-cert": tls.certPath,
      "tls-key": tls.keyPath,
      relay: tls.relay,
      // So few that handshakes are limited to sixteen.
      "max-connections": "20",
    };
    await using proxy = await startWebProxy({ primary, flags });
    const plain = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const half = (await clientHello()).slice(0, 50);
    const ends: Promise<void>[] = [];
    for (let count = 0; count < 40; count++) {
      const bytes = [plain, half, new Uint8Array()][count % 3]!;
      ends.push(sendAndWait(proxy, bytes, false));
    }
    for (let count = 0; count < 5; count++) {
      assertEquals(
        await withTestDeadline("an answer", ask(proxy, tls.cert), proxy.lastLines),
        "primary",
      );
    }
    await withTestDeadline("all others to end", Promise.all(ends), proxy.lastLines);
    assertEquals(proxy.events("proxy.faulted"), []);
    assertEquals(await proxy.stop(), 0);
  },
);
