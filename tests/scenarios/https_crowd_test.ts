/** HTTPS with few descriptors, or with many clients that send nothing. */
import { assert, assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { isInstalled } from "../harness/scenario.ts";
import { WebConnection } from "../harness/web_client.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { LineConn } from "../harness/line_conn.ts";
import { tlsTest } from "../gateway/certificate.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** An empty SETTINGS frame, which every HTTP/2 client sends after the preface. */
const SETTINGS = "\0\0\0\x04\0\0\0\0\0";

function portOf({ address }: WebProxy): number {
  return Number(address.split(":")[1]);
}

/** An HTTP/2 client that has sent its preface and no request; undefined if it was not accepted. */
async function idleH2(proxy: WebProxy, cert: string): Promise<Deno.TlsConn | undefined> {
  let conn: Deno.TlsConn | undefined;
  try {
    conn = await Deno.connectTls({
      hostname: "localhost",
      port: portOf(proxy),
      caCerts: [cert],
      alpnProtocols: ["h2"],
    });
    await conn.handshake();
    await conn.write(new TextEncoder().encode(PREFACE + SETTINGS));
    return conn;
  } catch {
    // Refused for lack of a descriptor, or ended in its handshake, which is what the test is about.
    closeAll([conn]);
    return undefined;
  }
}

function closeAll(conns: readonly (Deno.Conn | undefined)[]): void {
  for (const conn of conns) {
    try {
      conn?.close();
    } catch {
      // The proxy closed it first.
    }
  }
}

/** Everything on stderr was a line of the log: no stack trace. */
function assertNoTrace({ log }: WebProxy): void {
  assertEquals(log.filter((line) => !line.startsWith("{")), []);
}

tlsTest("idle HTTP/2 clients and few descriptors do not end the proxy or requests", async (tls) => {
  if (!isInstalled("prlimit")) return;
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  for (const limit of [48, 60]) {
    const under = ["prlimit", `--nofile=${limit}:${limit}`];
    await using proxy = await startWebProxy({ primary, flags, under });
    const conns = await Promise.all(Array.from({ length: 40 }, () => idleH2(proxy, tls.cert)));
    closeAll(conns);
    using client = Deno.createHttpClient({ caCerts: [tls.cert], poolMaxIdlePerHost: 0 });
    const ask = async () => {
      for (;;) {
        try {
          const answer = await fetch(`https://localhost:${portOf(proxy)}/`, { client });
          const text = await answer.text();
          if (answer.status === 200) return text;
        } catch {
          // Descriptors become free as connections end.
        }
      }
    };
    assertEquals(await withTestDeadline("an answer", ask(), proxy.lastLines), "primary");
    assertNoTrace(proxy);
    assertEquals(proxy.events("proxy.faulted"), []);
    assertEquals(await proxy.stop(), 0);
  }
});

tlsTest(
  "clients that begin no handshake do not keep other clients from being served over HTTPS",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
    for (const most of ["10000", "20"]) {
      await using proxy = await startWebProxy({
        primary,
        flags: { ...flags, "max-connections": most },
      });
      const silent: Deno.Conn[] = [];
      let ended = 0;
      for (let i = 0; i < 300; i++) {
        const conn = await Deno.connect({ hostname: "127.0.0.1", port: portOf(proxy) });
        silent.push(conn);
        conn.read(new Uint8Array(1)).then(() => ended++, () => ended++);
      }
      for (const http2 of [true, false]) {
        using client = Deno.createHttpClient({ caCerts: [tls.cert], http2, http1: !http2 });
        const url = `https://localhost:${portOf(proxy)}/`;
        const answer = await withTestDeadline("an answer", fetch(url, { client }), proxy.lastLines);
        assertEquals(await answer.text(), "primary");
        // It was not their deadline that made room.
        assert(ended < silent.length, "it waited for the silent ones");
      }
      closeAll(silent);
      assertNoTrace(proxy);
    }
  },
);

tlsTest("also with few descriptors silent clients are ended and others served", async (tls) => {
  if (!isInstalled("prlimit")) return;
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  const under = ["prlimit", "--nofile=96:96"];
  await using proxy = await startWebProxy({ primary, flags, under });
  const silent: Deno.Conn[] = [];
  const most = Promise.withResolvers<void>();
  let ended = 0;
  const end = () => {
    if (++ended === 100) most.resolve();
  };
  for (let i = 0; i < 150; i++) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: portOf(proxy) });
    silent.push(conn);
    conn.read(new Uint8Array(1)).then(end, end);
  }
  using client = Deno.createHttpClient({ caCerts: [tls.cert] });
  const url = `https://localhost:${portOf(proxy)}/`;
  const answer = await withTestDeadline("an answer", fetch(url, { client }), proxy.lastLines);
  assertEquals(await answer.text(), "primary");
  // They would keep their descriptors if they did not read the end.
  await withTestDeadline("the end of most of them", most.promise, proxy.lastLines);
  closeAll(silent);
  assertNoTrace(proxy);
  assertEquals(proxy.events("accept.failed"), []);
});

tlsTest(
  "over HTTP/2, too, idle connections are closed at the limit, the proxy's own endpoints answer, and others wait",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const flags = {
      "tls-cert": tls.certPath,
      "tls-key": tls.keyPath,
      relay: tls.relay,
      "max-connections": "2",
    };
    await using proxy = await startWebProxy({ primary, flags });
    const url = `https://localhost:${portOf(proxy)}`;
    const idle = [await idleH2(proxy, tls.cert), await idleH2(proxy, tls.cert)];
    const getOnce = async (path: string) => {
      using client = Deno.createHttpClient({ caCerts: [tls.cert], http1: false, http2: true });
      const answer = await withTestDeadline(path, fetch(url + path, { client }), proxy.lastLines);
      return [answer.status, await answer.text()];
    };
    // It waits until the idle connections have been idle for long enough.
    assertEquals(await getOnce("/"), [200, "primary"]);
    closeAll(idle);
    // Two busy connections.
    const busy = [];
    using workers = Deno.createHttpClient({ caCerts: [tls.cert], http1: true, http2: false });
    for (let i = 0; i < 2; i++) {
      busy.push(fetch(`${url}/wait`, { client: workers }).then((answer) => answer.text()));
      await primary.isWaiting();
    }
    assertEquals(await getOnce("/__failover/health"), [200, "OK"]);
    const waiting = getOnce("/");
    assertEquals(await getOnce("/__failover/health"), [200, "OK"]);
    await primary.ask("/release");
    assertEquals(await Promise.all(busy), ["primary", "primary"]);
    assertEquals(await waiting, [200, "primary"]);
    assertNoTrace(proxy);
  },
);

tlsTest("many clients that make their handshakes at once are all served", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  await using proxy = await startWebProxy({ primary, flags });
  const options = { hostname: "localhost", port: portOf(proxy), caCerts: [tls.cert] };
  // More than the maximum of concurrent handshakes of one address.
  const asked = Array.from({ length: 150 }, async () => {
    const connection = new WebConnection(new LineConn(await Deno.connectTls(options)));
    try {
      await connection.send({ target: "/" });
      return (await connection.reply()).text;
    } finally {
      connection.close();
    }
  });
  const answers = await withTestDeadline("all answers", Promise.all(asked), proxy.lastLines);
  assertEquals(new Set(answers), new Set(["primary"]));
  assertNoTrace(proxy);
});
