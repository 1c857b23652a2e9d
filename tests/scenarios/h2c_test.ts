/** `--h2c`: HTTP/2 without TLS, on the port of HTTP/1.1, in the real program. */
import { assertEquals, assertMatch } from "@std/assert";
import { opening } from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

async function http2To({ address }: WebProxy): Promise<FrameClient<Deno.Conn>> {
  const [hostname, port] = address.split(":");
  const client = new FrameClient<Deno.Conn>(
    await Deno.connect({ hostname: hostname!, port: Number(port) }),
  );
  await client.send(opening());
  return client;
}

scenario("--h2c speaks HTTP/2 and HTTP/1.1 on the same port, through a failover", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  await using proxy = await startWebProxy({
    primary,
    backups: [backup],
    flags: { ...relay, h2c: true },
  });
  const client = await http2To(proxy);
  await client.get(1);
  assertEquals((await client.response()).body, "primary");
  await client.get(3, "/echo");
  const { body } = await client.response();
  const { headers } = JSON.parse(body) as { headers: string[] };
  const proto = headers.findIndex((each) => each.toLowerCase() === "x-forwarded-proto");
  assertEquals(headers[proto + 1], "http");
  assertEquals((await proxy.get("/")).text, "primary");
  await primary.kill();
  await client.get(5);
  assertEquals((await client.response()).body, "backup");
  const stopped = proxy.stop();
  const goAway = await withTestDeadline("GOAWAY", client.next(), proxy.lastLines);
  assertEquals(goAway?.type, "goAway");
  assertEquals(await stopped, 0);
  client.conn.close();
});

scenario("without --h2c, a client that begins with HTTP/2 is refused", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using proxy = await startWebProxy({ primary, flags: relay });
  const conn = await proxy.connect();
  await conn.send(opening());
  assertMatch(await conn.line() ?? "", /^HTTP\/1\.1 505 /);
  conn.close();
});

scenario("curl --http2-prior-knowledge is served with --h2c", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using proxy = await startWebProxy({ primary, flags: { ...relay, h2c: true } });
  const url = `http://${proxy.address}/`;
  const format = ["-w", " %{http_version}"];
  const args = ["-sS", "--http2-prior-knowledge", "--max-time", "20", ...format, url];
  const { stdout } = await new Deno.Command("curl", { args }).output();
  assertEquals(new TextDecoder().decode(stdout), "primary 2");
}, ["curl"]);

scenario("clients of --h2c count toward the limit for each client", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  const flags = { ...relay, h2c: true, "max-connections-per-client": "1" } as const;
  await using proxy = await startWebProxy({ primary, flags });
  const client = await http2To(proxy);
  await client.get(1);
  assertEquals((await client.response()).body, "primary");
  const other = await http2To(proxy).catch(() => undefined);
  assertEquals(await other?.next(), undefined);
  other?.conn.close();
  client.conn.close();
});
