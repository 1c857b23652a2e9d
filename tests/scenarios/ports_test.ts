/** The ports on which the process listens: who is accepted, and the effect of many resets. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Folder, waitForFile } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { type Logged, runProxy, spawnProxy, startProxy } from "../harness/proxy.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { resetInQueue } from "../harness/storm.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const portOf = (address: string) => Number(address.slice(address.lastIndexOf(":") + 1));

scenario(
  "connections that are reset in the queue do not block other clients, on --bind and on --admin",
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

scenario(
  "connections that are reset in the queue do not block other clients in HTTP mode",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({ primary, flags: { ...relay } });
    await resetInQueue(proxy.pid, portOf(proxy.address), 200);
    assertEquals((await proxy.get("/")).text, "primary");
    assertEquals(proxy.events("accept.failed"), []);
  },
);

tlsTest(
  "connections that are reset in the queue do not block other clients over HTTPS",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
    await using proxy = await startWebProxy({ primary, flags });
    const port = portOf(proxy.address);
    await resetInQueue(proxy.pid, port, 200);
    using client = Deno.createHttpClient({ caCerts: [tls.cert] });
    const answer = await fetch(`https://localhost:${port}/`, { client });
    assertEquals(await answer.text(), "primary");
    assertEquals(proxy.events("accept.failed"), []);
  },
);

/** The outcome of a connection attempt: `refused`, `reset`, `closed` or the answer. */
async function tryConnection(address: string): Promise<string> {
  try {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: portOf(address) });
    await conn.write(new TextEncoder().encode("who\n"));
    const buffer = new Uint8Array(100);
    const count = await conn.read(buffer);
    return count === null ? "closed" : new TextDecoder().decode(buffer.subarray(0, count)).trim();
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return "refused";
    return error instanceof Deno.errors.ConnectionReset ? "reset" : String(error);
  }
}

scenario(
  "a start admits no client before the triggers have ended, and resets none",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using folder = await Folder.make();
    const trigger = await folder.script("promote", waitForFile("go"));
    const bind = `127.0.0.1:${unusedPort()}`;
    for (let start = 0; start < 10; start++) {
      const seen = new Set<string>();
      let isOver = false;
      const trying = (async () => {
        while (!isOver) seen.add(await tryConnection(bind));
      })();
      const flags = { ...relay, "on-failover": trigger };
      await using proxy = spawnProxy({ upstreams: [primary], flags, bind });
      await proxy.event("trigger.started");
      assertEquals([...seen], ["refused"]);
      await folder.write("go", "");
      await proxy.event("port.opened");
      assertEquals(await proxy.ask(), "primary");
      isOver = true;
      await withTestDeadline("the last knock", trying);
      assertEquals([...seen].sort(), seen.size === 1 ? ["refused"] : ["primary", "refused"]);
      await Deno.remove(folder.at("go"));
    }
  },
);

scenario("two processes do not share a port, however many workers they have", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  const flags = { ...relay, workers: relay.relay === "splice" ? "3" : "1" };
  await using proxy = await startProxy({ upstreams: [primary], flags });
  const args = ["-b", proxy.address, "-H", primary.name, "--log-level", "error"];
  const second = await runProxy([...args, "--relay", relay.relay, "--workers", flags.workers]);
  assertEquals(second.code, 1);
  assertStringIncludes(second.stderr.join("\n"), "address in use");
  // All workers of the first one still serve.
  const answers = await Promise.all(Array.from({ length: 24 }, () => proxy.ask()));
  assertEquals(new Set(answers), new Set(["primary"]));
});

const UMASK = ["sh", "-c", 'umask 0077; exec "$@"', "sh"];
const modeOf = (path: string) => Deno.statSync(path).mode! & 0o777;

scenario(
  "--socket-mode decides who may connect to unix sockets, not the umask",
  async (relay) => {
    await using primary = await startUpstream({ says: "primary" });
    await using web = await WebUpstream.start("web");
    for (const [given, mode] of [[{}, 0o666], [{ "socket-mode": "0620" }, 0o620]] as const) {
      await using folder = await Folder.make();
      const [bind, admin] = [`unix:${folder.at("front")}`, `unix:${folder.at("admin")}`];
      const flags = { ...relay, ...given, admin };
      {
        await using proxy = await startProxy({ upstreams: [primary], bind, under: UMASK, flags });
        await proxy.event("port.opened", { address: admin });
        assertEquals(await proxy.ask(), "primary");
        assertEquals([modeOf(folder.at("front")), modeOf(folder.at("admin"))], [mode, mode]);
      }
      const listen = `unix:${folder.at("web")}`;
      const options = { primary: web, listen, under: UMASK, flags: { ...relay, ...given } };
      await using proxy = await startWebProxy(options);
      assertEquals((await proxy.get("/")).text, "web");
      assertEquals(modeOf(folder.at("web")), mode);
    }
  },
);

/** Makes a folder unchangeable even for root, which tests may run as. */
async function chattr(flag: "+i" | "-i", path: string): Promise<boolean> {
  const { code } = await new Deno.Command("chattr", { args: [flag, path] }).output();
  return code === 0;
}

for (const relay of ["stream", "splice"] as const) {
  testWithPrograms(
    `[${relay}] a socket folder that becomes read-only does not end the service`,
    ["chattr"],
    async () => {
      await using primary = await startUpstream({ says: "primary" });
      await using folder = await Folder.make();
      const bind = `unix:${folder.at("front")}`;
      const flags = { relay, hold: "0s", "hold-while": "promoting" };
      await using proxy = await startProxy({ upstreams: [primary], bind, flags });
      assertEquals(await proxy.ask(), "primary");
      if (!await chattr("+i", folder.path)) return; // the tests must not do that here
      let failed: Logged<"port.failed">;
      try {
        await primary.kill();
        await proxy.event("port.closed");
        await primary.restart();
        failed = await proxy.event("port.failed");
        assert(/permitted|denied|read-only/.test(failed.reason), failed.reason);
      } finally {
        await chattr("-i", folder.path);
      }
      await proxy.event("port.opened", {}, failed);
      assertEquals(await proxy.ask(), "primary");
      assertEquals(proxy.events("worker.died"), []);
      assertEquals(await proxy.stop(), 0);
    },
  );

  testWithPrograms(
    `[${relay}] an HTTP service whose socket folder is read-only ends regularly`,
    ["chattr"],
    async () => {
      await using primary = await WebUpstream.start("primary");
      await using folder = await Folder.make();
      const listen = `unix:${folder.at("front")}`;
      await using proxy = await startWebProxy({ primary, listen, flags: { relay } });
      assertEquals((await proxy.get("/")).text, "primary");
      if (!await chattr("+i", folder.path)) return;
      try {
        assertEquals(await proxy.stop(), 0);
      } finally {
        await chattr("-i", folder.path);
      }
    },
  );
}
