/** The ports that the process listens on: who is let in, and what a storm at the door does. */
import { assertEquals } from "@std/assert";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { resetInQueue } from "../harness/storm.ts";
import { startUpstream, unusedPort } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { tlsTest } from "../gateway/certificate.ts";

const portOf = (address: string) => Number(address.slice(address.lastIndexOf(":") + 1));

scenario(
  "connections reset in the queue keep nobody out, on --bind and on --admin",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    const admin = `127.0.0.1:${unusedPort()}`;
    await using proxy = await startProxy({ upstreams: [upstream], flags: { ...relay, admin } });
    for (const port of [portOf(proxy.address), portOf(admin)]) {
      await resetInQueue(proxy.pid, port, 200);
      assertEquals(await proxy.ask(), "primary");
      const health = await fetch(`http://${admin}/__failover/health`);
      assertEquals(await health.text(), "OK");
    }
    assertEquals(proxy.events("accept.failed"), []);
  },
);

scenario("connections reset in the queue keep nobody out in HTTP mode", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using proxy = await startWebProxy({ primary, flags: { ...relay } });
  await resetInQueue(proxy.pid, portOf(proxy.address), 200);
  assertEquals((await proxy.get("/")).text, "primary");
  assertEquals(proxy.events("accept.failed"), []);
});

tlsTest("connections reset in the queue keep nobody out of HTTPS", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath };
  await using proxy = await startWebProxy({ primary, flags });
  const port = portOf(proxy.address);
  await resetInQueue(proxy.pid, port, 200);
  using client = Deno.createHttpClient({ caCerts: [tls.cert] });
  const answer = await fetch(`https://localhost:${port}/`, { client });
  assertEquals(await answer.text(), "primary");
  assertEquals(proxy.events("accept.failed"), []);
});
