/** Few descriptors and many clients that stay: accepted ones are served, others wait, and nothing fails over. */
import { assert, assertEquals } from "@std/assert";
import { connectTo } from "../harness/client.ts";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { WebConnection } from "../harness/web_client.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import type { LineConn } from "../harness/line_conn.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const CLIENTS = 300;
/** Connections to the control socket; its queue has room for those that are not accepted. */
const COMMANDS = 60;

/** Checks that no failure of upstreams and clients was logged. */
function assertAllWell(proxy: Proxy): void {
  assertEquals(proxy.events("accept.failed"), []);
  assertNothingLost(proxy);
}

/** The same, but a client may have been accepted a moment late. */
function assertNothingLost(proxy: Proxy): void {
  for (const type of ["upstream.down", "sessions.cut", "session.failed"] as const) {
    assertEquals(proxy.events(type), [], type);
  }
  assertEquals(proxy.events("probe.failed"), []);
  assertEquals(proxy.events("promotion.finished").map(({ move }) => move), ["start"]);
}

/** Waits until the check program has run `count` more times. */
async function checksPass(folder: Folder, count: number): Promise<void> {
  const before = (await folder.read("checks").catch(() => "")).length;
  await folder.reads("checks", (text) => text.length >= before + count);
}

for (const relay of ENGINES) {
  for (const limit of [96, 256]) {
    const underLimit = ["prlimit", `--nofile=${limit}`];

    testWithPrograms(
      `[${relay}] ${limit} descriptors and ${CLIENTS} clients that stay`,
      ["prlimit"],
      async () => {
        await using folder = await Folder.make();
        await using primary = await startUpstream({ says: "primary" });
        await using backup = await startUpstream({ says: "backup" });
        const admin = `127.0.0.1:${unusedPort()}`;
        const check = await folder.script("check", "printf x >> checks");
        await using control = await Control.make();
        await using proxy = await startProxy({
          upstreams: [primary, backup],
          flags: { relay, admin, "check-host": check, control: control.path },
          under: underLimit,
        });
        // The code for the first client is loaded from many files, so it is served before the others connect.
        assertEquals(await (await control.get("health")).text(), "OK");
        // Clients of the control socket that send nothing take no descriptor from the others.
        const silent: Deno.UnixConn[] = [];
        for (let i = 0; i < COMMANDS; i++) {
          silent.push(await Deno.connect({ transport: "unix", path: control.path }));
        }
        const { max, descriptors } = await proxy.event("connections.fitted");
        assertEquals(descriptors, limit);
        const wires: LineConn[] = [];
        for (let i = 0; i < CLIENTS; i++) wires.push(await connectTo(proxy.address));
        // These are accepted and answered; the others wait in the queue.
        const inside = wires.slice(0, max);
        for (const conn of inside) await conn.say("who");
        for (const conn of inside) {
          assertEquals(
            await withTestDeadline("an answer", conn.line(), proxy.lastLines),
            "primary",
          );
        }
        await proxy.event("limit.reached");
        await checksPass(folder, 20);
        const health = await fetch(`http://${admin}/__failover/health`);
        assertEquals(await health.text(), "OK");
        // When those leave, others are served, and finally all.
        for (const conn of wires.slice(max)) {
          inside.shift()?.close();
          await conn.say("who");
          assertEquals(
            await withTestDeadline("a later answer", conn.line(), proxy.lastLines),
            "primary",
          );
          inside.push(conn);
        }
        for (const conn of inside) conn.close();
        assertEquals(await (await control.get("health")).text(), "OK");
        for (const conn of silent) conn.close();
        assertNothingLost(proxy);
      },
    );

    testWithPrograms(
      `[${relay}] ${limit} descriptors and ${CLIENTS} HTTP clients that stay`,
      ["prlimit"],
      async () => {
        await using folder = await Folder.make();
        await using primary = await WebUpstream.start("primary");
        await using backup = await WebUpstream.start("backup");
        const check = await folder.script("check", "printf x >> checks");
        await using proxy = await startWebProxy({
          primary,
          backups: [backup],
          // On a busy machine the last ones wait long for their descriptors.
          flags: { relay, "check-host": check, "max-connections": "10000", hold: "1m" },
          under: underLimit,
        });
        const { max, asked, descriptors } = await proxy.event("connections.limited");
        assertEquals([asked, descriptors], [10_000, limit]);
        const clients: WebConnection[] = [];
        for (let i = 0; i < CLIENTS; i++) {
          clients.push(new WebConnection(await connectTo(proxy.address)));
          await clients[i]!.send({ target: "/" });
        }
        // None of them leaves: connections that were answered are idle, and are closed for those that wait.
        for (const client of clients) {
          const reply = await withTestDeadline("an answer", client.reply(), proxy.lastLines);
          assertEquals([reply.status, reply.text], [200, "primary"]);
        }
        await checksPass(folder, 20);
        for (const client of clients) client.close();
        assertAllWell(proxy);
        assert(max < CLIENTS);
      },
    );
  }
}
