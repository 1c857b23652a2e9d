/** Settings that no other test covers: that they have their effect. */
import { assert, assertEquals } from "@std/assert";
import { startWithBlockingTrigger } from "../harness/blocking_trigger.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { spawnProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { refusingUpstream, startUpstream } from "../harness/upstream.ts";
import { LineConn } from "../harness/line_conn.ts";
import { acceptedBy } from "../harness/accepted.ts";

scenario(
  "--fail-threshold consecutive failures bring an upstream down",
  async (relay) => {
    await using upstream = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({
      upstreams: [upstream],
      flags: { ...relay, "fail-threshold": "5" },
    });

    await upstream.kill();

    await proxy.event("upstream.down", { upstream: upstream.name });
    assertEquals(proxy.events("probe.failed").map((failed) => failed.failures), [1, 2, 3, 4]);
  },
);

scenario(
  "--recover-threshold consecutive passes bring an upstream up again",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    const check = await folder.script(
      "check.sh",
      `[ "$1" = '${backup.name}' ] && exit 0\n[ -e ok ] && echo >> passed`,
    );
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { ...relay, "check-host": check, "recover-threshold": "5" },
    });

    await folder.write("ok", "");

    await proxy.event("upstream.up", { upstream: primary.name });
    assert((await folder.read("passed")).length >= 5);
  },
);

scenario(
  "beyond --hold-clients a client waits in the accept queue, and is served like the others",
  async (relay) => {
    await using service = await startWithBlockingTrigger({
      ...relay,
      "hold": "1m",
      "hold-clients": "4",
    });
    const { proxy, primary } = service;

    await primary.kill();
    await proxy.event("trigger.started", { epoch: 2 });
    const answers = Array.from({ length: 20 }, () => proxy.ask());
    await proxy.event("limit.reached", { limit: "held" });
    await service.endTrigger();

    assertEquals(await Promise.all(answers), Array(20).fill("backup"));
  },
);

scenario(
  "with --send-proxy v2 a connection begins with the signature of version 2",
  async (relay) => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const heard = Promise.withResolvers<Uint8Array>();
    const serving = (async () => {
      for await (const socket of acceptedBy(listener)) {
        const conn = new LineConn(socket);
        // Probes send nothing; the first connection with bytes is the test's client.
        const first = await conn.chunk().catch(() => undefined);
        conn.close();
        if (first !== undefined) return heard.resolve(first);
      }
    })();
    const name = `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
    await using proxy = await startProxy({
      upstreams: [{ name }],
      flags: { ...relay, "send-proxy": "v2" },
    });

    const conn = await proxy.connect();
    const first = await withTestDeadline("the first bytes", heard.promise);
    await serving;

    const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
    assertEquals([...first.subarray(0, signature.length)], signature);
    conn.close();
  },
);

scenario("--log-level warn leaves out lines of level info", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using proxy = spawnProxy({
    upstreams: [refusingUpstream(), primary],
    flags: { ...relay, "log-level": "warn" },
  });

  await proxy.event("upstream.down");
  assertEquals(await proxy.stop(), 0);

  assertEquals(proxy.log.filter((line) => /"level":"(debug|info)"/.test(line)), []);
});

scenario("--name is the service's name in the log", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using proxy = await startProxy({
    upstreams: [primary],
    flags: { ...relay, name: "orders" },
  });

  assertEquals((await proxy.event("promotion.finished")).service, "orders");
});

scenario(
  "the place of a half-closed session that has ended goes to a client that waits",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({
      upstreams: [primary],
      flags: { ...relay, "max-connections": "1" },
    });
    const first = await proxy.connect();
    await first.say("who");
    assertEquals(await first.line(), "primary");
    const answer = proxy.ask();
    await proxy.event("limit.reached", { limit: "connections", max: 1 });

    await first.say("finish");
    assertEquals(await first.line(), "last words");
    assertEquals(await first.line(), undefined);
    await first.closeWrite();

    // The first client has not closed its connection: both sides have only ended it.
    assertEquals(await answer, "primary");
    first.close();
  },
);
