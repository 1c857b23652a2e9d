/** HTTP mode with too many clients, and with invalid requests, on both kinds of sockets. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { WebConnection } from "../harness/web_client.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { untilCounted } from "../harness/metrics.ts";

const encoder = new TextEncoder();

/** There is one line, and since `began` not more than one further in each `pauseMs`. */
function assertRare(lines: readonly unknown[], began: number, pauseMs: number): void {
  const most = 1 + Math.floor((performance.now() - began) / pauseMs);
  assert(lines.length >= 1 && lines.length <= most, `${lines.length} lines, ${most} at most`);
}

async function said(address: string, text: string): Promise<string> {
  const { conn } = await WebConnection.to(address);
  try {
    await conn.send(encoder.encode(text));
    return await withTestDeadline(`an answer to ${text.slice(0, 20)}`, conn.rest());
  } finally {
    conn.close();
  }
}

for (const relay of ENGINES) {
  testWithPrograms(
    `${relay}: a request that is refused before an upstream gets it is reported and counted`,
    [],
    async () => {
      await using primary = await WebUpstream.start("primary");
      await using proxy = await startWebProxy({ primary, flags: { relay } });
      const began = performance.now();
      for (let i = 0; i < 3; i++) {
        assertMatch(await said(proxy.address, "GET / HTTP/1.1\r\n\r\n"), /^HTTP\/1.1 400 /);
      }
      const large = `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(70_000)}\r\n\r\n`;
      assertMatch(await said(proxy.address, large), /^HTTP\/1.1 431 /);
      await proxy.event("request.refused", { status: 431, client: "127.0.0.1" });
      assertRare(proxy.events("request.refused", { status: 400 }), began, 10_000);
      const metrics = await untilCounted(
        async () => (await proxy.get("/__failover/metrics")).text,
        /^failover_requests_refused_total\{service="http"\} 4$/m,
      );
      assertStringIncludes(metrics, 'failover_exchanges_faulted_total{service="http"} 0\n');
    },
  );

  testWithPrograms(
    `${relay}: idle clients at the limit do not keep other clients from being served`,
    [],
    async () => {
      await using primary = await WebUpstream.start("primary");
      await using proxy = await startWebProxy({
        primary,
        flags: { relay, "max-connections": "4" },
      });
      const began = performance.now();
      const kept: WebConnection[] = [];
      for (let i = 0; i < 2; i++) {
        kept.push(await proxy.open());
        await kept[i]!.send({ target: "/" });
        assertEquals((await kept[i]!.reply()).text, "primary");
      }
      // Two more that never send anything.
      for (let i = 0; i < 2; i++) kept.push(await proxy.open());
      for (let i = 0; i < 8; i++) {
        assertEquals((await proxy.get("/__failover/health")).text, "OK");
        assertEquals((await proxy.get("/")).text, "primary");
      }
      await proxy.event("limit.reached", { limit: "connections", max: 4 });
      assertRare(proxy.events("limit.reached"), began, 10_000);
      for (const one of kept) one.close();
    },
  );

  testWithPrograms(
    `${relay}: when all connections are busy, the proxy's own endpoints answer, and other requests wait`,
    [],
    async () => {
      await using primary = await WebUpstream.start("primary");
      await using proxy = await startWebProxy({
        primary,
        flags: { relay, "max-connections": "2" },
      });
      const busy: WebConnection[] = [];
      for (let i = 0; i < 2; i++) {
        busy.push(await proxy.open());
        await busy[i]!.send({ target: "/wait" });
        await primary.isWaiting();
      }
      for (const target of ["/__failover/health", "/__failover/state", "/__failover/metrics"]) {
        assertEquals((await proxy.get(target)).status, 200);
      }
      const waiting = proxy.get("/");
      assertEquals((await proxy.get("/__failover/health")).text, "OK");
      await primary.ask("/release");
      assertEquals((await waiting).text, "primary");
      for (const one of busy) {
        assertEquals((await one.reply()).text, "primary");
        one.close();
      }
    },
  );

  testWithPrograms(
    `${relay}: an admin listener full of idle clients still answers`,
    [],
    async () => {
      await using primary = await WebUpstream.start("primary");
      await using proxy = await startWebProxy({ primary, flags: { relay, admin: "127.0.0.1:0" } });
      const opened = await proxy.event("port.opened", { service: "" });
      const idle = await Promise.all(
        Array.from({ length: 80 }, () => WebConnection.to(opened.address)),
      );
      const lines = ["Host: localhost"];
      const answer = await said(
        opened.address,
        `GET /__failover/health HTTP/1.1\r\n${lines[0]}\r\nConnection: close\r\n\r\n`,
      );
      assert(answer.endsWith("OK"), answer);
      await proxy.event("limit.reached", { service: "", limit: "connections" });
      for (const one of idle) one.close();
    },
  );
}

for (const relay of ENGINES) {
  testWithPrograms(
    `${relay}: when descriptors are short, idle connections are closed and no request fails`,
    ["prlimit"],
    async () => {
      await using primary = await WebUpstream.start("primary");
      const under = ["prlimit", "--nofile=96:96"];
      await using proxy = await startWebProxy({
        primary,
        flags: { relay, admin: "127.0.0.1:0", "max-connections": "10000", hold: "1m" },
        under,
      });
      const opened = await proxy.event("port.opened", { service: "" });
      const idle: WebConnection[] = [];
      for (let i = 0; i < 120; i++) {
        idle.push(await proxy.open());
        if (i % 2 === 0) idle.push(await WebConnection.to(opened.address));
      }
      for (let i = 0; i < 5; i++) {
        assertEquals((await proxy.get("/")).text, "primary");
        assertEquals((await proxy.get("/__failover/health")).text, "OK");
        const lines = "Host: localhost\r\nConnection: close\r\n\r\n";
        const answer = await said(opened.address, `GET /__failover/health HTTP/1.1\r\n${lines}`);
        assert(answer.endsWith("OK"), answer);
      }
      for (const one of idle) one.close();
      assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
      assertEquals(await proxy.stop(), 0);
    },
  );
}
