/** HTTPS on both sides of the real program, with certificates that the test makes. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { runProxy } from "../harness/proxy.ts";
import { WebConnection } from "../harness/web_client.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { LineConn } from "../harness/line_conn.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** A connection to the proxy that trusts `cert`, and which protocol the two agreed on. */
async function connectTls(
  proxy: WebProxy,
  cert: string,
  protocol: string,
): Promise<{ conn: Deno.TlsConn; agreed: string | null }> {
  const port = Number(proxy.address.split(":")[1]);
  const hostname = "localhost";
  const options = { hostname, port, caCerts: [cert], alpnProtocols: [protocol] };
  const conn = await withTestDeadline("a TLS connection", Deno.connectTls(options));
  const { alpnProtocol } = await conn.handshake();
  return { conn, agreed: alpnProtocol };
}

tlsTest("--tls-cert and --tls-key serve HTTPS over HTTP/2 through failover", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  await using proxy = await startWebProxy({ primary, backups: [backup], flags });
  const { conn, agreed } = await connectTls(proxy, tls.cert, "h2");
  conn.close();
  assertEquals(agreed, "h2");

  using client = Deno.createHttpClient({ caCerts: [tls.cert], http1: false });
  const url = `https://localhost:${proxy.address.split(":")[1]}`;
  const get = async (target: string, init: RequestInit = {}) =>
    await (await fetch(url + target, { ...init, client })).text();
  const echo = JSON.parse(await get("/echo", { method: "POST", body: "over HTTP/2" }));
  assertEquals([echo.method, echo.body], ["POST", "over HTTP/2"]);
  const proto = echo.headers.findIndex((each: string) =>
    each.toLowerCase() === "x-forwarded-proto"
  );
  assertEquals(echo.headers[proto + 1], "https");
  await primary.kill();
  assertEquals(await get("/"), "backup");
  assertEquals(await get("/__failover/health"), "OK");
});

tlsTest("over HTTPS, a client of HTTP/1.1 has its keep-alive and its WebSocket", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  await using proxy = await startWebProxy({ primary, flags });
  const { conn, agreed } = await connectTls(proxy, tls.cert, "http/1.1");
  assertEquals(agreed, "http/1.1");
  const connection = new WebConnection(new LineConn(conn));
  for (let i = 0; i < 2; i++) {
    await connection.send({ target: "/" });
    assertEquals((await connection.reply()).text, "primary");
  }
  const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
  const lines = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key];
  await connection.send({ target: "/socket", lines });
  assertEquals((await withTestDeadline("an upgrade", connection.head())).status, 101);
  const frame = await withTestDeadline("a frame", connection.conn.bytes(9));
  assertEquals(new TextDecoder().decode(frame.subarray(2)), "primary");
  connection.close();
});

tlsTest("an upstream of HTTPS is trusted by --ca-file, and not without it", async (tls) => {
  await using folder = await Folder.make();
  const ca = await folder.write("ca.pem", tls.cert);
  await using upstream = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert: tls.cert, key: tls.key, onListen() {} },
    () => new Response("over TLS"),
  );
  const primary = { url: `https://localhost:${upstream.addr.port}` };
  await using proxy = await startWebProxy({ primary, flags: { "ca-file": ca } });
  assertEquals((await proxy.get("/")).text, "over TLS");
  await using distrustful = await startWebProxy({ primary }, "selection.failed");
  // On a busy machine an earlier check may not have been answered in time.
  await distrustful.event("selection.failed", { message: /TLS handshake failed/ });
});

tlsTest(
  "only one of --tls-cert and --tls-key is an error, reported before anything starts",
  async (tls) => {
    const listen = `127.0.0.1:${unusedPort()}`;
    const args = ["--primary", "http://a.example", "--listen", listen, "--tls-cert", tls.certPath];
    const run = await runProxy(args);
    assertEquals(run.code, 2);
    assertStringIncludes(run.stderr.join("\n"), "there is no tls_key for it");
  },
);
