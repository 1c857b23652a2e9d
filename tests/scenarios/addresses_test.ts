/** Every kind of address, on both sides, and in the PROXY protocol. */
import { assertEquals, assertMatch } from "@std/assert";
import { ask } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy, spawnProxy, startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

scenario(
  "clients and upstreams may use unix sockets, also during a failover",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({
      says: "primary",
      listen: { transport: "unix", path: folder.at("primary.sock") },
    });
    await using backup = await startUpstream({
      says: "backup",
      listen: { transport: "unix", path: folder.at("backup.sock") },
    });
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      bind: `unix:${folder.at("proxy.sock")}`,
      flags: relay,
    });
    assertEquals(await proxy.ask(), "primary");

    await primary.kill();

    assertEquals(await proxy.ask(), "backup");
  },
);

scenario("the socket file of a crash is replaced", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  const bind = `unix:${folder.at("proxy.sock")}`;
  await using crashed = await startProxy({ upstreams: [primary], bind, flags: relay });
  crashed.signal("SIGKILL");
  await crashed.ended;

  await using proxy = await startProxy({ upstreams: [primary], bind, flags: relay });

  assertEquals(await proxy.ask(), "primary");
});

scenario("clients and upstreams may use IPv6", async (relay) => {
  await using primary = await startUpstream({
    says: "primary",
    listen: { transport: "tcp", hostname: "::1", port: 0 },
  });
  await using proxy = await startProxy({
    upstreams: [primary],
    bind: `[::1]:${unusedPort()}`,
    flags: relay,
  });

  assertMatch(primary.name, /^\[::1\]:/);
  assertEquals(await proxy.ask(), "primary");
});

scenario("an upstream may be given by name", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  const name = primary.name.replace("127.0.0.1", "localhost");
  await using proxy = await startProxy({ upstreams: [{ name }], flags: relay });

  assertEquals(await proxy.ask(), "primary");
  await proxy.event("promotion.finished", { to: name });
});

scenario("a name that does not resolve is reported as the reason", async (relay) => {
  const name = "no-such-host.invalid:1";
  await using proxy = spawnProxy({ upstreams: [{ name }], flags: relay });

  const round = await proxy.event("selection.failed");
  assertEquals(round.reasons.map((each) => each.upstream), [name]);
  assertMatch(round.reasons[0]!.reason, /does not resolve/);
});

scenario("--port listens on all interfaces, IPv4 and IPv6", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  const port = String(unusedPort());
  const args = ["-p", port, "-H", primary.name, "--relay", relay.relay, "--json-logs"];
  await using proxy = new Proxy(args, {});
  await proxy.event("port.opened");

  assertEquals(await ask(`127.0.0.1:${port}`), "primary");
  assertEquals(await ask(`[::1]:${port}`), "primary");
});

scenario("with --send-proxy v1 the upstream is told the address of the client", async (relay) => {
  await using primary = await startUpstream({ says: "primary", proxyLine: true });
  await using proxy = await startProxy({
    upstreams: [primary],
    flags: { ...relay, "send-proxy": "v1" },
  });

  const conn = await proxy.connect();
  const mine = (conn.socket.localAddr as Deno.NetAddr).port;
  const port = proxy.address.split(":")[1];
  await conn.say("proxied");

  assertEquals(await conn.line(), `PROXY TCP4 127.0.0.1 127.0.0.1 ${mine} ${port}\r`);
  conn.close();
});

scenario("with --send-proxy v1 a client on IPv6 is announced as TCP6", async (relay) => {
  await using primary = await startUpstream({ says: "primary", proxyLine: true });
  await using proxy = await startProxy({
    upstreams: [primary],
    bind: `[::1]:${unusedPort()}`,
    flags: { ...relay, "send-proxy": "v1" },
  });

  assertMatch(await proxy.ask("proxied"), /^PROXY TCP6 ::1 ::1 \d+ \d+\r$/);
});

// Deno removes the file that is at the path of its own listening socket, also if another process made it.
Deno.test({
  name: "a proxy that ends leaves the socket file of another one that has taken its place",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using folder = await Folder.make();
    await using upstream = await startUpstream({ says: "here" });
    const path = folder.at("proxy.sock");
    const options = { upstreams: [upstream], bind: `unix:${path}`, flags: { relay: "splice" } };
    await using first = await startProxy(options);
    await Deno.remove(path);
    await using second = await startProxy(options);
    assertEquals(await first.stop(), 0);
    assertEquals(await second.ask(), "here");
  },
});
