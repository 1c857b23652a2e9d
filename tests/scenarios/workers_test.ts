/** Several threads on one port. */
import { assertEquals } from "@std/assert";
import { startProxy } from "../harness/proxy.ts";
import { startUpstream } from "../harness/upstream.ts";
import type { WebConnection } from "../harness/web_client.ts";
import { startWebProxy, webArgs, WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { untilCounted } from "../harness/metrics.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** How many listening sockets of this system have that port (proc_net_tcp(5): state 0A). */
function listeners(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const lines = Deno.readTextFileSync("/proc/net/tcp").split("\n");
  return lines.filter((line) => new RegExp(`^\\s*\\d+: \\w+:${hex} \\w+:0000 0A `).test(line))
    .length;
}

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "[splice] --workers 3 shares one listening socket, and all of them fail over",
  ignore,
  async fn() {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { relay: "splice", workers: "3" },
    });
    const askAll = () => Promise.all(Array.from({ length: 30 }, () => proxy.ask()));
    assertEquals(new Set(await askAll()), new Set(["primary"]));
    assertEquals(listeners(Number(proxy.address.split(":").at(-1))), 1);
    await primary.kill();
    assertEquals(new Set(await askAll()), new Set(["backup"]));
  },
});

Deno.test({
  name: "an HTTP service is served by --workers 3, and all of them fail over",
  ignore,
  async fn() {
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    await using proxy = await startWebProxy({
      primary,
      backups: [backup],
      flags: { workers: "3", "relay": "splice" },
    });
    const askAll = async () => {
      const replies = await Promise.all(Array.from({ length: 30 }, () => proxy.get("/")));
      return new Set(replies.map(({ text }) => text));
    };
    assertEquals(await askAll(), new Set(["primary"]));
    assertEquals(listeners(Number(proxy.address.split(":").at(-1))), 1);
    await primary.kill();
    assertEquals(await askAll(), new Set(["backup"]));
    await untilCounted(
      async () => (await proxy.get("/__failover/metrics")).text,
      /^failover_requests_total\S* 60$/m,
    );
  },
});

Deno.test({
  name: "--max-connections of an HTTP service holds over its workers: idle connections make room",
  ignore,
  async fn() {
    await using primary = await WebUpstream.start("primary");
    const flags = { workers: "3", "max-connections": "4" };
    await using proxy = await startWebProxy({ primary, flags });
    // Each keeps its connection, on whatever worker, until another client needs its place.
    const kept: WebConnection[] = [];
    for (let client = 0; client < 12; client++) {
      const connection = await proxy.open();
      kept.push(connection);
      await connection.send({ target: "/" });
      assertEquals((await connection.reply()).text, "primary");
    }
    for (const { conn } of kept) conn.close();
  },
});

Deno.test({
  name: "a worker that dies loses its requests, and the service goes on in the next",
  ignore,
  async fn() {
    await using primary = await WebUpstream.start("primary");
    const listen = `127.0.0.1:${unusedPort()}`;
    const main = new URL("../faults/dying_main.ts", import.meta.url).href;
    await using proxy = new WebProxy(webArgs(listen, { primary }), {}, listen, main);
    await proxy.event("promotion.finished");
    const kept = (await proxy.open()).conn;
    await proxy.get("/");
    proxy.signal("SIGWINCH");
    // The main thread is asked for this, and its answer is what the worker dies of, as soon as the signal came.
    let answers = 0;
    while (answers < 1_000 && await proxy.get("/__failover/state").then(() => true, () => false)) {
      answers++;
    }
    await proxy.event("worker.died", { worker: 1 });
    assertEquals(await kept.line().catch(() => undefined), undefined);
    kept.close();
    assertEquals((await proxy.get("/")).text, "primary");
    await untilCounted(
      async () => (await proxy.get("/__failover/metrics")).text,
      /^failover_requests_total\S* 2$/m,
      /worker\.died"} 1$/m,
    );
    assertEquals(await proxy.stop(), 0);
  },
});
