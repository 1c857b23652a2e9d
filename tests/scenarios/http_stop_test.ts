/** SIGTERM under load: each request on a connection that was open is answered. */
import { assert, assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { scenario } from "../harness/scenario.ts";
import { askSteadily, type Steadiness, SteadyCount } from "../harness/steady_clients.ts";
import { WebConnection } from "../harness/web_client.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { LineConn } from "../harness/line_conn.ts";
import { tlsTest } from "../gateway/certificate.ts";

const CLIENTS = 60;

/** Stops the proxy while the clients are at work. */
async function stopUnderLoad(proxy: WebProxy, how: Steadiness): Promise<SteadyCount> {
  const count = new SteadyCount();
  const clients = askSteadily(proxy.address, CLIENTS, how, count);
  await withTestDeadline("some answers", count.reaches(5 * CLIENTS), proxy.lastLines);
  assertEquals(await proxy.stop(), 0);
  await withTestDeadline("the last clients", clients, proxy.lastLines);
  return count;
}

const KINDS: Readonly<Record<string, Steadiness>> = {
  "on kept connections": { fresh: false, pauseMs: 0 },
  "after a while on kept connections": { fresh: false, pauseMs: 60 },
  "on a separate connection for each": { fresh: true, pauseMs: 0 },
};

for (const [name, how] of Object.entries(KINDS)) {
  scenario(`a stop under load loses no request ${name}`, async ({ relay }) => {
    await using primary = await WebUpstream.start("primary");
    for (let round = 0; round < 3; round++) {
      await using proxy = await startWebProxy({ primary, flags: { relay } });
      const { lost } = await stopUnderLoad(proxy, { ...how, isQueueHidden: relay === "stream" });
      assertEquals(lost, []);
    }
  });
}

tlsTest("a stop under load loses no request over HTTPS", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  await using proxy = await startWebProxy({ primary, flags });
  const options = {
    hostname: "localhost",
    port: Number(proxy.address.split(":")[1]),
    caCerts: [tls.cert],
  };
  const open = async () => new WebConnection(new LineConn(await Deno.connectTls(options)));
  const { lost } = await stopUnderLoad(proxy, { fresh: false, pauseMs: 0, open });
  assertEquals(lost, []);
});

/** One HTTP/2 client that sends requests until it is refused. */
async function askOverHttp2(url: string, caCert: string, count: SteadyCount): Promise<void> {
  using client = Deno.createHttpClient({ caCerts: [caCert], http1: false, http2: true });
  for (;;) {
    try {
      const answer = await fetch(url, { client });
      const text = await answer.text();
      if (answer.status === 200 && text === "primary") count.add();
      else count.lost.push(`${answer.status} ${text}`);
    } catch (error) {
      const reason = error instanceof Error ? String(error.cause ?? error) : String(error);
      if (/refused/i.test(reason)) return;
      // A connection that ended before it was open: nothing was sent on it.
      if (reason.includes("(Connect)")) continue;
      count.lost.push(reason);
    }
  }
}

tlsTest("a stop under load loses no request over HTTP/2", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  for (let round = 0; round < 3; round++) {
    await using proxy = await startWebProxy({ primary, flags });
    const url = `https://localhost:${proxy.address.split(":")[1]}/`;
    const count = new SteadyCount();
    const clients = Array.from({ length: 10 }, () => askOverHttp2(url, tls.cert, count));
    await withTestDeadline("some answers", count.reaches(200), proxy.lastLines);
    assertEquals(await proxy.stop(), 0);
    await withTestDeadline("the last clients", Promise.all(clients), proxy.lastLines);
    assertEquals(count.lost, []);
    assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
  }
});

scenario(
  "pipelined requests that have arrived when a stop begins are served",
  async ({ relay }) => {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({ primary, flags: { relay } });
    const connection = await proxy.open();
    await connection.send({ target: "/wait" });
    for (const target of ["/echo?1", "/echo?2", "/"]) await connection.send({ target });
    await primary.isWaiting();
    proxy.signal("SIGTERM");
    await proxy.event("proxy.stopping");
    await primary.ask("/release");
    const replies = [];
    for (let i = 0; i < 4; i++) replies.push(await withTestDeadline("a reply", connection.reply()));
    assertEquals(replies.map(({ status }) => status), [200, 200, 200, 200]);
    assert(replies[1]!.text.includes("/echo?1"));
    // And then the connection ends, announced or not.
    assertEquals(await withTestDeadline("the end", connection.conn.rest()), "");
    connection.close();
    assertEquals(await proxy.stop(), 0);
  },
);
