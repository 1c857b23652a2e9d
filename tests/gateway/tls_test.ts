/** HTTPS toward clients: both versions of HTTP behind one port, and the same forwarder behind both. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ManualClock, realClock } from "../../src/base/clock.ts";
import { type Handshake, Handshakes } from "../../src/gateway/handshakes.ts";
import type { Http2 } from "../../src/gateway/tls/http2.ts";
import { type TlsFiles, TlsListener } from "../../src/gateway/tls/listen_tls.ts";
import { Server } from "../../src/http1/server.ts";
import { Deadlines } from "../../src/net/deadlines.ts";
import { UnfinishedTls } from "../../src/net/deno/unfinished_tls.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { tlsTest, withHttp2Client } from "./certificate.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  GatewayFixture,
  nodeUpstream,
  rawUpstream,
  readAllText,
  readUntil,
  refusingPort,
  sendText,
} from "./gateway_fixture.ts";

tlsTest(
  "method, path, headers and body of an HTTP/2 client are forwarded, and it gets the response",
  async (tls) => {
    await using up = await nodeUpstream((request, response) => {
      let body = "";
      request.on("data", (data) => body += data);
      request.on("end", () => {
        const { "x-a": a, "x-forwarded-proto": proto, "x-forwarded-for": from } = request.headers;
        response.setHeader("set-cookie", ["a=1", "b=2"]);
        response.end(JSON.stringify([request.method, request.url, a, proto, from, body]));
      });
    });
    await using fixture = await GatewayFixture.start([up.port], { tls });
    await fixture.open(0);
    await withHttp2Client(tls, async (client) => {
      const url = `https://localhost:${fixture.port}/a%2Fb?x=%20`;
      const answer = await fetch(url, {
        client,
        method: "PUT",
        body: "hi",
        headers: { "x-a": "1" },
      });
      assertEquals(await answer.json(), ["PUT", "/a%2Fb?x=%20", "1", "https", "127.0.0.1", "hi"]);
      assertEquals(answer.headers.getSetCookie(), ["a=1", "b=2"]);
      assertEquals(answer.headers.get("failover"), "upstream=primary; attempt=1");
      const health = await fetch(`https://localhost:${fixture.port}/__failover/health`, { client });
      assertEquals(await health.text(), "OK");
    });
  },
);

tlsTest(
  "HTTP/2 has the same retries: after a refusal another upstream is used, an incomplete response is a stream error",
  async (tls) => {
    await using bad = rawUpstream(async (conn) => {
      await readUntil(conn);
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    });
    await using backup = await nodeUpstream((_, response) => response.end("well"));
    await using fixture = await GatewayFixture.start([refusingPort(), backup.port, bad.port], {
      tls,
      bodyMax: 10,
    });
    await fixture.open(0);
    await withHttp2Client(tls, async (client) => {
      const url = `https://localhost:${fixture.port}/`;
      const answer = await fetch(url, { client, method: "POST", body: "x" });
      assertEquals([answer.status, await answer.text()], [200, "well"]);
      const large = await fetch(url, { client, method: "POST", body: "x".repeat(11) });
      assertEquals(large.status, 413);
      await large.body?.cancel();
      await fixture.open(2);
      const cut = await fetch(url, { client }).then((r) => r.text()).catch(() => "cut");
      assertEquals(cut, "cut");
      await fixture.gateway.refuse();
      const refused = await fetch(url, { client });
      assertEquals(refused.status, 503);
      await refused.body?.cancel();
    });
  },
);

tlsTest("an HTTP/1.1 client upgrades over the same port", async (tls) => {
  await using up = rawUpstream(async (conn) => {
    assertStringIncludes(await readUntil(conn), "X-Forwarded-Proto: https");
    await sendText(
      conn,
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    );
    await sendText(conn, await readUntil(conn, "ping"));
  });
  await using fixture = await GatewayFixture.start([up.port], { tls });
  await fixture.open(0);
  const options = { hostname: "127.0.0.1", port: fixture.port, caCerts: [tls.cert] };
  using conn = await Deno.connectTls(options);
  await sendText(conn, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
  await readUntil(conn);
  await sendText(conn, "ping");
  assertEquals(await withTestDeadline("the echo", readAllText(conn)), "ping");
});

/** Ends each handshake for others when it has succeeded, just before the listener learns of that. */
class EndedLast extends Handshakes {
  readonly #over = new Set<Handshake>();

  override delete(handshake: Handshake): boolean {
    if (!this.#over.has(handshake)) {
      this.#over.add(handshake);
      this.end(handshake);
    }
    return super.delete(handshake);
  }
}

tlsTest(
  "a handshake that is ended for others in the moment in which it succeeds is not served",
  async (tls) => {
    const served: string[] = [];
    const errors: unknown[] = [];
    const serve = (by: string) => {
      served.push(by);
      return Promise.resolve();
    };
    using unfinished = new UnfinishedTls();
    const server = new Server({
      deadlines: new Deadlines(realClock),
      handler: () => serve("HTTP/1.1"),
    });
    const listener = new TlsListener("127.0.0.1", 0, tls, {
      ...{ clock: realClock, server, clientLimit: undefined },
      http2: { serve: () => serve("HTTP/2"), giveWay: () => false } as Partial<Http2> as Http2,
      handshakes: new EndedLast(realClock, 10, unfinished),
      cut: (conn, alike) => unfinished.end(conn, alike),
      ...{ onAcceptFailed() {}, onShortage() {}, onReload() {} },
      onError: (error) => errors.push(error),
    });
    for (const alpnProtocols of [["h2"], ["http/1.1"]]) {
      const options = { hostname: "127.0.0.1", port: listener.port, caCerts: [tls.cert] };
      using conn = await Deno.connectTls({ ...options, alpnProtocols });
      const read = withTestDeadline("the end", conn.read(new Uint8Array(100)));
      assertEquals(await read.catch(() => null), null);
    }
    listener.close();
    await listener.finished;
    assertEquals([served, errors], [[], []]);
  },
  ["stream"],
);

// With the system's OpenSSL the files are watched by the service: `app/certificates_test.ts`.
tlsTest("a certificate that changes is served to new clients, a broken one is not", async (tls) => {
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  const clock = new ManualClock();
  {
    await using fixture = await GatewayFixture.start([refusingPort()], { tls, clock });
    const isServed = async ({ cert }: TlsFiles) => {
      try {
        const options = { hostname: "127.0.0.1", port: fixture.port, caCerts: [cert] };
        using conn = await Deno.connectTls(options);
        await conn.handshake();
        return true;
      } catch {
        // A connect may be refused at the moment of the change.
        return false;
      }
    };
    const becomesTrue = async (what: () => boolean | Promise<boolean>) => {
      while (!await what()) await new Promise((resolve) => setImmediate(resolve));
    };
    await Deno.writeTextFile(tls.certPath, "half a certifi");
    await clock.advance(10_000);
    const warned = () => fixture.events.some((event) => event.type === "config.warned");
    await withTestDeadline("a warning", becomesTrue(warned));
    assert(await isServed(tls));
    // It is read again and again, and warned of once.
    for (let time = 0; time < 3; time++) {
      await clock.advance(10_000);
      assert(await isServed(tls));
    }
    assertEquals(fixture.events.filter(({ type }) => type === "config.warned").length, 1);
    const renewed = await writeCertificate(folder);
    await Deno.copyFile(renewed.certPath, tls.certPath);
    await Deno.copyFile(renewed.keyPath, tls.keyPath);
    await clock.advance(10_000);
    await withTestDeadline("the new certificate", becomesTrue(() => isServed(renewed)));
    assertEquals(await isServed(tls), false);
  }
  await Deno.remove(folder, { recursive: true });
}, ["stream"]);
