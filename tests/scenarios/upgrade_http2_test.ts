/** Clients of HTTP/2 while new processes take over from the running one. */
import { assertEquals } from "@std/assert";
import { Http2Client } from "../gateway/http2_client.ts";
import type { Exchange } from "../gateway/story_client.ts";
import { PATIENT } from "../harness/arrivals.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { SteadyCount } from "../harness/steady_clients.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const CLIENTS = 4;
/** Requests of one client at one time. */
const TOGETHER = 8;
const UPGRADES = 2;
/** Answers between two upgrades. */
const BETWEEN = 200;

async function upgradable(upstream: WebUpstream, relay: string): Promise<Upgradable<WebProxy>> {
  return await Upgradable.start((flags) =>
    startWebProxy({ primary: upstream, flags: { ...PATIENT, ...flags, relay, h2c: true } })
  );
}

async function connected(address: string): Promise<Http2Client> {
  const [hostname, port] = address.split(":");
  return new Http2Client(await Deno.connect({ hostname: hostname!, port: Number(port) }));
}

/** Asks with `TOGETHER` requests at one time until the service refuses connections; goes elsewhere at a GOAWAY. */
async function askSteadily(address: string, count: SteadyCount): Promise<void> {
  let client = await connected(address);
  let next: Promise<Http2Client> | undefined;
  const clients = [client];
  const moved = (from: Http2Client) =>
    next ??= connected(address).then((to) => {
      clients.push(to);
      next = undefined;
      return from === client ? client = to : to;
    });
  const ask = async () => {
    for (let on = client;;) {
      if (on.goAway !== undefined) {
        try {
          on = on === client ? await moved(on) : client;
        } catch (error) {
          if (error instanceof Deno.errors.ConnectionRefused) return;
          throw error;
        }
        continue;
      }
      const outcome = await outcomeOf(on);
      if (outcome === "answered") count.add();
      else if (outcome !== "unserved") count.lost.push(outcome);
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, ask));
  for (const { conn } of clients) conn.close();
}

async function outcomeOf(client: Http2Client): Promise<string> {
  let exchange: Exchange;
  try {
    exchange = await client.begin("GET", "/");
  } catch (error) {
    // Nothing was sent, and the reason was.
    await client.readToEnd();
    return client.goAway === undefined ? String(error) : "unserved";
  }
  const { status, body, end } = await exchange.answer();
  if (status === 200 && body === "here" && end === "whole") return "answered";
  return client.isUnserved(exchange) ? "unserved" : `${status} ${body} ${end}`;
}

for (const relay of Deno.build.os === "linux" ? ENGINES : []) {
  testWithPrograms(
    `[${relay}] no request over HTTP/2 is lost while processes take over`,
    [],
    async () => {
      await using upstream = await WebUpstream.start("here");
      await using it = await upgradable(upstream, relay);
      const count = new SteadyCount();
      const clients = Array.from(
        { length: CLIENTS },
        () => askSteadily(it.proxy.address, count),
      );
      for (let upgrades = 0; upgrades < UPGRADES; upgrades++) {
        const more = count.reaches(count.answered + BETWEEN);
        await withTestDeadline("answers", more, it.proxy.lastLines);
        const { status, lines } = await it.upgrade();
        assertEquals([status, lines], [200, []]);
      }
      const last = count.reaches(count.answered + BETWEEN);
      await withTestDeadline("answers", last, it.proxy.lastLines);
      assertEquals(count.lost, []);
      Deno.kill(it.pid, "SIGTERM");
      await withTestDeadline("the clients to end", Promise.all(clients), it.proxy.lastLines);
      assertEquals(count.lost, []);
    },
  );

  testWithPrograms(
    `[${relay}] what is under way over HTTP/2 goes on in the old process, and the client is told to go elsewhere`,
    [],
    async () => {
      await using upstream = await WebUpstream.start("here");
      await using it = await upgradable(upstream, relay);
      const client = await connected(it.proxy.address);
      const tunnel = await client.tunnel("/");
      assertEquals((await tunnel.head()).status, 200);
      await tunnel.readUntil("here");
      const waiting = await client.begin("GET", "/wait");
      await upstream.isWaiting();
      const upload = await client.begin("POST", "/upload", [], { hasBody: true });
      await upload.send("x".repeat(30_000));
      const { status, lines } = await it.upgrade();
      assertEquals([status, lines], [200, []]);
      await upload.send("x".repeat(30_000));
      await upload.end();
      assertEquals((await upload.answer()).body.split(" ")[0], "60000");
      await upstream.ask("/release");
      assertEquals((await waiting.answer()).body, "here");
      assertEquals(client.goAway?.code, 0);
      // A small text, masked with zeros.
      await tunnel.send("\x81\x82\0\0\0\0ok");
      assertEquals(await tunnel.readUntil("ok"), "\x81\x02ok");
      // A close, which the upstream answers before it ends.
      await tunnel.send("\x88\x80\0\0\0\0");
      assertEquals(await tunnel.rest(), { body: "\x88\0", trailers: [], end: "whole" });
      await tunnel.end();
      assertEquals(await withTestDeadline("the end", client.readToEnd()), "ended");
      client.conn.close();
      const other = await connected(it.proxy.address);
      assertEquals((await (await other.begin("GET", "/")).answer()).body, "here");
      other.conn.close();
    },
  );
}
