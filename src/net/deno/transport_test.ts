/** Deno's sockets under `Conn`: dialling, TLS and accepting, on loopback. */
import { assertEquals, assertRejects } from "@std/assert";
import { unusedPort } from "../../base/testing/ports.ts";
import { ManualClock, realClock } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { serveListener } from "./listener.ts";
import type { DialOptions } from "../transport.ts";
import { denoSockets, dialer } from "./transport.ts";
import { Deadlines } from "../deadlines.ts";
import { certificateFor } from "../testing/certificate.ts";
import { serveFetch } from "../../http1/fetch_app.ts";
import { Server } from "../../http1/server.ts";
import { assertNothingSent } from "../../base/testing/faults.ts";
import { untilRefused } from "../testing/refused.ts";
import { acceptedBy } from "../../../tests/harness/accepted.ts";

function listen(): { listener: Deno.TcpListener; port: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: unusedPort() });
  return { listener, port: listener.addr.port };
}

const local = (port: number, more: Partial<DialOptions> = {}): DialOptions => ({
  hostname: "127.0.0.1",
  port,
  clock: realClock,
  connectMs: 60_000,
  ...more,
});

Deno.test("a refused connection is a fault that proves that nothing was sent", async () => {
  const { listener, port } = listen();
  listener.close();
  await untilRefused(port);
  await assertNothingSent(dialer(local(port))(), "connectRefused");
});

Deno.test("a dial that was cancelled before it began rejects", async () => {
  const { listener, port } = listen();
  await assertRejects(() => dialer(local(port))(AbortSignal.abort()), Fault);
  listener.close();
});

Deno.test("a TLS handshake without an answer ends with the connect timeout", async () => {
  const { listener, port } = listen();
  const clock = new ManualClock();
  const dialing = dialer(local(port, { clock, connectMs: 3_000, tls: {} }))();
  const conn = await listener.accept();
  const hello = await conn.read(new Uint8Array(10));
  assertEquals(hello! > 0, true);
  const failed = assertNothingSent(dialing, "connectTimeout");
  await clock.advance(3_000);
  await failed;
  assertEquals(clock.pending, 0);
  conn.close();
  listener.close();
  await denoSockets.close();
});

Deno.test("a peer that does not speak TLS is a fault that proves that nothing was sent", async () => {
  const { listener, port } = listen();
  const dialing = dialer(local(port, { tls: {} }))();
  const conn = await listener.accept();
  await conn.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await assertNothingSent(dialing, "tlsFailed");
  conn.close();
  listener.close();
});

Deno.test("TLS trusts the given authority, for the given name, and nothing else", async () => {
  const { cert, key } = await certificateFor("up.test");
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
  const accepting = (async () => {
    for await (const conn of acceptedBy(listener)) {
      // A client that does not trust the certificate ends the handshake, and reports it.
      conn.handshake().then(() => conn.write(new Uint8Array(3)), () => {}).finally(() =>
        conn.close()
      );
    }
  })();
  const dial = (tls: DialOptions["tls"]) => dialer(local(listener.addr.port, { tls: tls! }))();
  const conn = await dial({ serverName: "up.test", caCerts: [cert] });
  assertEquals(await conn.read(new Uint8Array(10)), 3);
  conn.close();
  conn.close();
  await assertNothingSent(dial({ serverName: "up.test" }), "tlsFailed");
  await assertNothingSent(dial({ serverName: "other.test", caCerts: [cert] }), "tlsFailed");
  listener.close();
  await accepting;
});

Deno.test("a listener serves until it is closed, although the app throws", async () => {
  const { listener, port } = listen();
  const bug = new Error("bug");
  const errors: unknown[] = [];
  const server = new Server({
    deadlines: new Deadlines(realClock),
    onError: (error) => errors.push(error),
    handler: (exchange) =>
      serveFetch(exchange, (request) => {
        if (request.url.endsWith("/bug")) throw bug;
        return new Response("fine");
      }),
  });
  const serving = serveListener(listener, server, { clock: realClock });
  const ask = async (path: string) => {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    const request = `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
    await conn.write(new TextEncoder().encode(request));
    return await new Response(conn.readable).text();
  };
  assertEquals((await ask("/")).endsWith("\r\n\r\nfine"), true);
  assertEquals((await ask("/bug")).startsWith("HTTP/1.1 500 "), true);
  assertEquals(errors, [bug]);
  assertEquals((await ask("/")).endsWith("\r\n\r\nfine"), true);
  listener.close();
  await serving;
  await server.drain(AbortSignal.abort());
});
