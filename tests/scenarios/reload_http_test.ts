/** Reloads in HTTP mode: requests under way, kept connections, certificates, pages and access logs. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { connectTo } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { scenario } from "../harness/scenario.ts";
import { askSteadily, SteadyCount } from "../harness/steady_clients.ts";
import { request, WebConnection } from "../harness/web_client.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { untilTrue, withTestDeadline } from "../harness/test_deadline.ts";

scenario(
  "reloads cost no request, on kept connections and on new ones",
  async (relay) => {
    await using one = await WebUpstream.start("one");
    await using two = await WebUpstream.start("two");
    await using three = await WebUpstream.start("three");
    const listen = `127.0.0.1:${unusedPort()}`;
    const of = (primary: { url: string }, backup: { url: string }, more = {}) => ({
      services: { web: { primary: primary.url, backup: [backup.url], listen, ...relay, ...more } },
    });
    await using proxy = await startReloaded(of(one, two));
    await proxy.event("promotion.finished");
    const counts = [new SteadyCount(), new SteadyCount()];
    const loads = counts.map((count, at) =>
      askSteadily(listen, 4, { fresh: at === 1, pauseMs: 3 }, count)
    );
    const versions = [
      of(one, two, { hold: "5s", max_body: "1MB" }),
      of(two, one, { failback: "auto", failback_damping: "off" }),
      of(one, three, { failback: "auto", failback_damping: "off", upstream_keep: 8 }),
      of(two, three, { keep_alive_timeout: "60s", request_id: true }),
      of(three, one),
    ];

    for (const version of [...versions, ...versions]) {
      const reached = counts.map((count) => count.reaches(count.answered + 50));
      assertEquals((await proxy.reload(version)).code, 0);
      await withTestDeadline("answers after a reload", Promise.all(reached), proxy.lastLines);
    }

    // The end would refuse clients that wait for the upstream of the last list.
    const phase = async () => (await proxy.state() as unknown as { phase: string }).phase;
    await untilTrue("an upstream", async () => await phase() === "serving", proxy.lastLines);
    await proxy.stop();
    await Promise.all(loads);
    for (const { lost, answered } of counts) {
      assertEquals(lost, [], proxy.lastLines());
      assert(answered > 500);
    }
    assertEquals(proxy.events("port.opened", { service: "web" }).length, 1);
    assertEquals(proxy.events("config.reloaded").length, 10);
  },
);

scenario(
  "a kept connection outlives reloads, and a request under way ends as it began",
  async (relay) => {
    await using one = await WebUpstream.start("one");
    await using two = await WebUpstream.start("two");
    const listen = `127.0.0.1:${unusedPort()}`;
    const of = (primary: string, ...backup: string[]) => ({
      services: { web: { primary, ...backup.length > 0 && { backup }, listen, ...relay } },
    });
    await using proxy = await startReloaded(of(one.url, two.url));
    await proxy.event("promotion.finished");
    const kept = new WebConnection(await connectTo(listen));
    try {
      assertMatch(await asked(kept), /one/);
      assertEquals((await proxy.reload(of(two.url, one.url))).code, 0);
      assertEquals((await proxy.reload(of(two.url))).code, 0);
      await proxy.event("promotion.finished", { to: two.url });
      assertMatch(await asked(kept), /two/);
    } finally {
      kept.close();
    }
  },
);

scenario(
  "error page and access log are read and opened anew",
  async (relay) => {
    await using folder = await Folder.make();
    await using one = await WebUpstream.start("one");
    const listen = `127.0.0.1:${unusedPort()}`;
    await folder.write("sorry.html", "first page");
    const page = `${folder.path}/sorry.html`;
    const logOf = (name: string) => `${folder.path}/${name}`;
    const of = (more: Record<string, unknown>) => ({
      services: {
        web: {
          primary: one.url,
          listen,
          error_page: page,
          hold: 0,
          hold_clients: 0,
          ...relay,
          ...more,
        },
      },
    });
    await using proxy = await startReloaded(of({ access_log: logOf("a.log") }));
    await proxy.event("promotion.finished");
    await request(listen, { target: "/1" }, proxy.lastLines);

    await folder.write("sorry.html", "second page");
    const { out } = await proxy.reload(
      of({ access_log: logOf("b.log"), access_log_format: "json" }),
    );

    assertMatch(out, /service web: access_log .*a\.log → .*b\.log/);
    assertMatch(out, /service web: the file of error_page has changed/);
    await request(listen, { target: "/2" }, proxy.lastLines);
    await one.kill();
    await proxy.event("upstream.down");
    assertMatch((await request(listen, { target: "/3" }, proxy.lastLines)).text, /second page/);
    await proxy.stop();
    assertMatch(await folder.read("a.log"), /GET \/1/);
    assertMatch(await folder.read("b.log"), /"\/2"/);
  },
);

async function asked(connection: WebConnection): Promise<string> {
  await connection.send({ target: "/who" });
  return (await connection.reply()).text;
}
