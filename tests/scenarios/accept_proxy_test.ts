/** `--accept-proxy` in both modes and on both engines: who the client is, and which connections are closed. */
import { assertEquals, assertMatch } from "@std/assert";
import { createConnection } from "node:net";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTls } from "node:tls";
import { tlsTest } from "../gateway/certificate.ts";
import { nodeUpstream, rawUpstream } from "../gateway/gateway_fixture.ts";
import { connectTo } from "../harness/client.ts";
import type { LineConn } from "../harness/line_conn.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const text = (line: string) => new TextEncoder().encode(line);

/** Headers that name the client 192.0.2.9, and one with the command LOCAL, which names none. */
const V1 = text("PROXY TCP4 192.0.2.9 198.51.100.1 4660 80\r\n");
const V2 = Uint8Array.from(
  [
    ...SIGNATURE,
    0x21,
    0x11,
    0,
    17,
    192,
    0,
    2,
    9,
    198,
    51,
    100,
    1,
    0x12,
    0x34,
    0,
    80,
    4,
    0,
    2,
    0,
    0,
  ],
);
const LOCAL = Uint8Array.from([...SIGNATURE, 0x20, 0, 0, 0]);

/** Sends all bytes at once, or each one separately. */
async function send(conn: LineConn, bytes: Uint8Array, isSlow: boolean): Promise<void> {
  if (!isSlow) return await conn.send(bytes);
  for (const byte of bytes) {
    await conn.send(Uint8Array.of(byte));
    await Deno.stat("."); // so that each byte is sent in its own segment
  }
}

/** Everything that the proxy answers to these bytes. */
async function answerTo(proxy: Proxy, bytes: Uint8Array, isSlow = false): Promise<string> {
  const conn = await connectTo(proxy.address);
  try {
    await send(conn, bytes, isSlow);
    const rest = conn.rest().catch(() => "");
    return await withTestDeadline("the connection to end", rest, proxy.lastLines);
  } catch {
    return ""; // The proxy reset the connection while we were sending.
  } finally {
    conn.close();
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const WRONG: readonly Uint8Array[] = [
  text("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"),
  text("PROXY TCP4 192.0.2.9 198.51.100.1 4660\r\nmore and more and more\n"),
  Uint8Array.from([...SIGNATURE, 0x21, 0x11, 0, 1, 9, 9]),
  text(`PROXY UNKNOWN ${"x".repeat(200)}\r\n`),
];

/** Resolves when so many connections without a header have been counted. */
async function countsMissing(admin: string, wanted: number): Promise<void> {
  const counting = (async () => {
    for (;;) {
      const text = await (await fetch(`http://${admin}/__failover/metrics`)).text();
      const count = /^failover_proxy_headers_missing_total\{[^}]*\} (\d+)$/m.exec(text)?.[1];
      if (Number(count) === wanted) return;
    }
  })();
  await withTestDeadline(`${wanted} connections to be counted`, counting);
}

scenario("--accept-proxy in HTTP mode: the header names the client", async ({ relay }) => {
  await using upstream = await nodeUpstream((request, response) => {
    response.end(`seen ${request.headers["x-forwarded-for"]}`);
  });
  const admin = `127.0.0.1:${unusedPort()}`;
  const flags = { relay, "accept-proxy": "any", "access-log": "-", admin };
  const primary = { url: `http://127.0.0.1:${upstream.port}` };
  await using proxy = await startWebProxy({ primary, flags });
  const request = text("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  for (const isSlow of [false, true]) {
    for (
      const [header, expected] of [[V1, "192.0.2.9"], [V2, "192.0.2.9"], [
        LOCAL,
        "127.0.0.1",
      ]] as const
    ) {
      const answer = await answerTo(proxy, joined(header, request), isSlow);
      assertMatch(answer, new RegExp(`seen ${expected.replaceAll(".", "\\.")}$`));
    }
  }
  for (const bytes of WRONG) assertEquals(await answerTo(proxy, bytes), "");
  assertEquals((await proxy.event("proxyHeader.missing")).client, "127.0.0.1");
  await countsMissing(admin, WRONG.length);
  await proxy.stop();
  const clients = proxy.stdout.map((line) => line.split(" ")[0]);
  const once = ["192.0.2.9", "192.0.2.9", "127.0.0.1"];
  assertEquals(clients.sort(), [...once, ...once].sort());
});

/** An upstream that sends back what it gets, until its client has finished. */
function echoesBytes() {
  return rawUpstream(async (conn) => {
    const buffer = new Uint8Array(4_096);
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      await conn.write(buffer.subarray(0, count));
    }
  });
}

scenario(
  "--accept-proxy in TCP mode: the header is removed, and --send-proxy passes its addresses on",
  async ({ relay }) => {
    await using upstream = echoesBytes();
    const upstreams = [{ name: `127.0.0.1:${upstream.port}` }];
    const admin = `127.0.0.1:${unusedPort()}`;
    const flags = { relay, "accept-proxy": "any", "send-proxy": "v1", admin };
    await using proxy = await startProxy({ upstreams, flags });
    for (const isSlow of [false, true]) {
      for (const header of [V1, V2]) {
        const conn = await connectTo(proxy.address);
        await send(conn, joined(header, text("hello\n")), isSlow);
        assertEquals(await conn.line(), "PROXY TCP4 192.0.2.9 198.51.100.1 4660 80\r");
        assertEquals(await withTestDeadline("an answer", conn.line()), "hello");
        conn.close();
      }
    }
    const own = await connectTo(proxy.address);
    await own.send(joined(LOCAL, text("hello\n")));
    assertMatch((await own.line())!, /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 /);
    own.close();
    for (const bytes of WRONG) assertEquals(await answerTo(proxy, bytes), "");
    await proxy.event("proxyHeader.missing");
    await countsMissing(admin, WRONG.length);
    assertEquals(await proxy.stop(), 0);
  },
);

scenario(
  "a peer that sends no header, or only a part of one, is disconnected after some seconds",
  async ({ relay }) => {
    await using upstream = echoesBytes();
    const upstreams = [{ name: `127.0.0.1:${upstream.port}` }];
    await using tcp = await startProxy({ upstreams, flags: { relay, "accept-proxy": "v2" } });
    await using web = await nodeUpstream((_, response) => void response.end());
    const primary = { url: `http://127.0.0.1:${web.port}` };
    const flags = { relay, "accept-proxy": "v1" };
    await using http = await startWebProxy({ primary, flags });
    const answers = [tcp, http].flatMap((proxy) => [
      answerTo(proxy, new Uint8Array()),
      answerTo(proxy, (proxy === tcp ? V2 : V1).subarray(0, 9)),
    ]);
    assertEquals(await Promise.all(answers), ["", "", "", ""]);
  },
);

scenario("a shutdown does not wait for PROXY headers", async ({ relay }) => {
  await using upstream = echoesBytes();
  const upstreams = [{ name: `127.0.0.1:${upstream.port}` }];
  await using proxy = await startProxy({ upstreams, flags: { relay, "accept-proxy": "any" } });
  const silent = await connectTo(proxy.address);
  const conn = await connectTo(proxy.address);
  await conn.send(joined(V1, text("hello\n")));
  assertEquals(await conn.line(), "hello");
  conn.close();
  assertEquals(await proxy.stop(), 0);
  silent.close();
});

scenario(
  "--max-connections-per-client counts the client that the header names",
  async ({ relay }) => {
    await using upstream = echoesBytes();
    const upstreams = [{ name: `127.0.0.1:${upstream.port}` }];
    const flags = { relay, "accept-proxy": "any", "max-connections-per-client": "1" };
    await using proxy = await startProxy({ upstreams, flags });
    const first = await connectTo(proxy.address);
    await first.send(joined(V1, text("hello\n")));
    assertEquals(await first.line(), "hello");
    assertEquals(await answerTo(proxy, joined(V2, text("hello\n"))), "");
    assertEquals((await proxy.event("client.limited")).client, "192.0.2.9");
    const other = await connectTo(proxy.address);
    await other.send(joined(LOCAL, text("hello\n")));
    assertEquals(await other.line(), "hello");
    first.close();
    other.close();
  },
);

tlsTest(
  "--accept-proxy before TLS: HTTP/1.1 and HTTP/2 have the client that the header names",
  async (tls) => {
    await using upstream = await nodeUpstream((request, response) => {
      response.end(`seen ${request.headers["x-forwarded-for"]}`);
    });
    const flags = {
      "tls-cert": tls.certPath,
      "tls-key": tls.keyPath,
      relay: tls.relay,
      "accept-proxy": "any",
    };
    const primary = { url: `http://127.0.0.1:${upstream.port}` };
    await using proxy = await startWebProxy({ primary, flags });
    const port = Number(proxy.address.split(":")[1]);
    const opened = async (header: Uint8Array) => {
      const socket = createConnection({ host: "127.0.0.1", port });
      await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
      for (const byte of header) socket.write(Uint8Array.of(byte));
      return socket;
    };
    const options = { servername: "localhost", ca: tls.cert };
    for (const header of [V1, V2]) {
      const plain = connectTls({ socket: await opened(header), ...options });
      plain.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      let text = "";
      plain.on("data", (data) => text += data);
      const ended = new Promise((resolve) => plain.once("close", resolve));
      await withTestDeadline("an answer over HTTP/1.1", ended);
      assertMatch(text, /seen 192\.0\.2\.9$/);

      const secure = connectTls({
        socket: await opened(header),
        ...options,
        ALPNProtocols: ["h2"],
      });
      await new Promise<void>((resolve) => secure.once("secureConnect", () => resolve()));
      const session = connectHttp2(`https://localhost:${port}`, { createConnection: () => secure });
      const stream = session.request({ ":path": "/" });
      let said = "";
      stream.on("data", (data) => said += data);
      const done = new Promise((resolve) => stream.once("end", resolve));
      await withTestDeadline("an answer over HTTP/2", done);
      assertEquals(said, "seen 192.0.2.9");
      session.destroy();
    }
    assertEquals(await answerTo(proxy, Uint8Array.of(22, 3, 1, 0, 200, 1)), "");
    await proxy.event("proxyHeader.missing");
    assertEquals(await proxy.stop(), 0);
  },
);
