/**
 * The proxy as a service of systemd, which a small parent plays: sockets that it opens and keeps (sd_listen_fds(3)), and
 * the messages that it gets (sd_notify(3)).
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { connectTo } from "../harness/client.ts";
import { untilGone } from "../harness/child.ts";
import { runCommand } from "../harness/command.ts";
import { Folder } from "../harness/folder.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { type Flags, type Proxy, spawnProxy, startProxy } from "../harness/proxy.ts";
import { ENGINES, scenario, testWithPrograms } from "../harness/scenario.ts";
import { TestServiceManager } from "../harness/service_manager.ts";
import { startUpstream } from "../harness/upstream.ts";
import { webArgs, WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { tlsTest } from "../gateway/certificate.ts";

const needs = ["/bin/bash"];
const CLIENTS = 20;
/** A time-out that is longer than the interval is warned of. */
const QUIET = { "check-interval": "5s", "check-timeout": "5s" };
const isLinux = Deno.build.os === "linux";

if (isLinux) {
  scenario(
    "clients that come while the proxy restarts wait and are served, on TCP and a unix socket",
    async (relay) => {
      await using folder = await Folder.make();
      await using upstream = await startUpstream({ says: "primary" });
      for (const path of [undefined, folder.at("clients.sock")]) {
        using manager = new TestServiceManager();
        const bind = manager.listen("clients", path);
        const start = () =>
          manager.start((under) =>
            spawnProxy({ upstreams: [upstream], bind, flags: { ...QUIET, ...relay }, under })
          );
        // Clients may come before the proxy runs at all.
        const early = await connectTo(bind);
        await early.say("who");
        const first = start();
        try {
          assertEquals(await early.line(), "primary");
          early.close();
          assertEquals(await first.ask(), "primary");
          await first.kill();
        } finally {
          await first[Symbol.asyncDispose]();
        }
        const waiting = await Promise.all(Array.from({ length: CLIENTS }, () => connectTo(bind)));
        for (const client of waiting) await client.say("who");
        await using second = start();
        const answers = await Promise.all(waiting.map((client) => client.line()));
        assertEquals(answers, answers.map(() => "primary"));
        for (const client of waiting) client.close();
        assertEquals(second.events("config.warned", { warning: /socket|descriptor/ }), []);
        assertEquals(second.events("port.failed"), []);
        // A proper end leaves the socket to the manager as well.
        assertEquals(await second.stop(), 0);
        const last = await connectTo(bind);
        last.close();
      }
    },
    needs,
  );

  scenario(
    "requests that come while the proxy restarts wait and are answered, in HTTP mode",
    async (relay) => {
      await using primary = await WebUpstream.start("primary");
      using manager = new TestServiceManager();
      const listen = manager.listen("web");
      const admin = manager.listen("admin");
      const args = webArgs(listen, { primary, flags: { ...relay, admin } });
      const start = () =>
        manager.start((under) => new WebProxy(args, {}, listen, undefined, under));
      const first = start();
      assertEquals((await first.get("/")).text, "primary");
      assertEquals(await (await fetch(`http://${admin}/__failover/health`)).text(), "OK");
      await first.kill();
      const ask = (address: string, path: string) =>
        fetch(`http://${address}${path}`).then((answer) => answer.text());
      const waiting = Promise.all([
        ...Array.from({ length: CLIENTS }, () => ask(listen, "/")),
        ask(admin, "/__failover/health"),
      ]);
      await using second = start();
      const answers = await waiting;
      assertEquals(answers, [...Array(CLIENTS).fill("primary"), "OK"]);
      assertEquals(second.events("config.warned", { warning: /socket|descriptor/ }), []);
      assertEquals(await second.stop(), 0);
      // The sockets are still the manager's, and its next proxy answers what comes meanwhile.
      const later = ask(listen, "/");
      await using third = start();
      assertEquals(await later, "primary");
      assertEquals(await third.stop(), 0);
    },
    needs,
  );

  scenario(
    "while the upstreams are down, clients of a lent socket wait until one is back",
    async (relay) => {
      const port = unusedPort();
      using manager = new TestServiceManager();
      const bind = manager.listen("clients");
      await using proxy = manager.start((under) =>
        spawnProxy({
          upstreams: [{ name: `127.0.0.1:${port}` }],
          bind,
          flags: { ...relay, hold: "0s" },
          under,
        })
      );
      await proxy.event("selection.failed");
      const client = await connectTo(bind);
      await client.say("who");
      await using upstream = await startUpstream({
        says: "back",
        listen: { transport: "tcp", hostname: "127.0.0.1", port },
      });
      assertEquals(await client.line(), "back");
      assertEquals(upstream.says, "back");
      client.close();
    },
    needs,
  );

  testWithPrograms(
    "sockets that fit nothing, or are for another process, are a line each and no more",
    needs,
    async () => {
      await using upstream = await startUpstream({ says: "primary" });
      using manager = new TestServiceManager();
      const other = manager.listen("other");
      const bind = `127.0.0.1:${unusedPort()}`;
      const options = { upstreams: [upstream], bind, flags: QUIET };
      for (const pid of ["$$", "1"]) {
        await using proxy = manager.start(
          (under) => spawnProxy({ ...options, under }),
          pid,
        );
        assertEquals(await proxyAnswer(proxy), "primary");
        const warnings = proxy.events("config.warned").map(({ warning }) => warning);
        assertEquals(warnings, [
          pid === "1"
            ? `LISTEN_FDS is for process 1 and this is ${proxy.pid}: its sockets are not used`
            : `descriptor 3 (other) listens on ${other}, where this proxy does not: not used`,
        ]);
        await proxy.stop();
      }
    },
  );

  testWithPrograms(
    "programs that the proxy starts get neither the sockets nor the variables",
    needs,
    async () => {
      await using folder = await Folder.make();
      await using upstream = await startUpstream({ says: "primary" });
      const trigger = await folder.script(
        "trigger.sh",
        `env > env.part; ls -l /proc/self/fd > fds; mv env.part env`,
      );
      using manager = new TestServiceManager();
      const bind = manager.listen("clients");
      await using proxy = manager.start((under) =>
        spawnProxy({
          upstreams: [upstream],
          bind,
          flags: { "on-failover": trigger },
          env: { WATCHDOG_PID: "1" },
          under,
        })
      );
      assertEquals(await proxyAnswer(proxy), "primary");
      await folder.has("env");
      const env = await folder.read("env");
      assertEquals(env.match(/^(LISTEN_.*|WATCHDOG_PID)=/gm), null);
      assertMatch(env, /^PATH=/m);
      assert(!(await folder.read("fds")).includes("socket:"), await folder.read("fds"));
    },
  );
}

for (const relay of isLinux ? ENGINES : []) {
  testWithPrograms(
    `[${relay}] a client starts the proxy through systemd's own program for socket activation`,
    ["systemd-socket-activate"],
    async () => {
      await using upstream = await startUpstream({ says: "primary" });
      const bind = `127.0.0.1:${unusedPort()}`;
      await using proxy = spawnProxy({
        upstreams: [upstream],
        bind,
        flags: { relay, control: "off" },
        under: ["systemd-socket-activate", `--listen=${bind}`, "--fdname=tcp"],
      });
      await proxy.line(/^Listening on/);
      assertEquals(await proxy.ask(), "primary");
      assertEquals(proxy.events("config.warned", { warning: /socket|descriptor/ }), []);
    },
  );
}

if (isLinux) {
  tlsTest("over HTTPS clients wait as well while the proxy restarts", async (tls) => {
    await using primary = await WebUpstream.start("primary");
    using manager = new TestServiceManager();
    const listen = manager.listen("web");
    const flags = { relay: tls.relay, "tls-cert": tls.certPath, "tls-key": tls.keyPath };
    const args = webArgs(listen, { primary, flags });
    const start = () => manager.start((under) => new WebProxy(args, {}, listen, undefined, under));
    using client = Deno.createHttpClient({ caCerts: [tls.cert], poolMaxIdlePerHost: 0 });
    const url = `https://localhost:${listen.split(":")[1]}/`;
    const ask = () => fetch(url, { client }).then((answer) => answer.text());
    const first = start();
    assertEquals(await ask(), "primary");
    await first.kill();
    const waiting = Promise.all(Array.from({ length: CLIENTS }, ask));
    await using second = start();
    assertEquals(await waiting, Array(CLIENTS).fill("primary"));
    assertEquals(second.events("config.warned", { warning: /socket|descriptor/ }), []);
    assertEquals(await second.stop(), 0);
  });
}

for (const relay of isLinux ? ENGINES : []) {
  testWithPrograms(
    `[${relay}] sockets of the service manager stay its own through an upgrade and a restart after it`,
    needs,
    async () => {
      await using upstream = await startUpstream({ says: "primary" });
      using manager = new TestServiceManager();
      const bind = manager.listen("clients");
      const place = manager.notifySocket(`@failover-test-${crypto.randomUUID()}`);
      const start = (flags: Flags) =>
        manager.start((under) =>
          spawnProxy({
            upstreams: [upstream],
            bind,
            flags: { ...flags, relay },
            env: { NOTIFY_SOCKET: place, WATCHDOG_USEC: "500000" },
            under,
          })
        );
      {
        await using it = await Upgradable.start(async (flags) => {
          const proxy = start(flags);
          await proxy.event("port.opened");
          return proxy;
        });
        await manager.message(/^READY=1$/);
        const old = it.pid;
        assertEquals((await it.upgrade()).status, 200);
        // Both say so: the old one is heard where only the main process is.
        await manager.message(new RegExp(`^MAINPID=${it.pid}$`));
        await manager.message(new RegExp(`^READY=1\nMAINPID=${it.pid}$`));
        await untilGone([String(old)]);
        await manager.message(/^WATCHDOG=1$/, manager.messages.length);
        assertEquals(await it.proxy.ask(), "primary");
        Deno.kill(it.pid, "SIGKILL");
        await untilGone([String(it.pid)]);
      }
      const waiting = await connectTo(bind);
      await waiting.say("who");
      await using proxy = start({});
      assertEquals(await waiting.line(), "primary");
      waiting.close();
      assertEquals(await proxy.stop(), 0);
    },
  );
}

if (isLinux) {
  testWithPrograms(
    "commands wait as well while the proxy restarts, and the socket's file stays",
    needs,
    async () => {
      await using folder = await Folder.make();
      await using upstream = await startUpstream({ says: "primary" });
      using manager = new TestServiceManager();
      const bind = manager.listen("clients");
      const path = folder.at("control.sock");
      manager.listen("control", path);
      const start = () =>
        manager.start((under) =>
          spawnProxy({ upstreams: [upstream], bind, flags: { control: path }, under })
        );
      const first = start();
      await first.event("promotion.finished");
      assertEquals((await runCommand(["status", "--control", path])).code, 0);
      await first.kill();
      const waiting = runCommand(["status", "--control", path]);
      await using second = start();
      // Nobody serves yet when it is asked first.
      assert((await waiting).code <= 2);
      assertEquals(second.events("config.warned", { warning: /socket|descriptor/ }), []);
      assertEquals(await second.stop(), 0);
      assert((await Deno.lstat(path)).isSocket);
    },
  );

  testWithPrograms("the service manager knows when a reload begins and ends", [], async () => {
    await using upstream = await startUpstream({ says: "primary" });
    using manager = new TestServiceManager();
    const place = manager.notifySocket(`@failover-test-${crypto.randomUUID()}`);
    await using proxy = await startProxy({ upstreams: [upstream], env: { NOTIFY_SOCKET: place } });
    await manager.message(/^READY=1$/);
    const before = manager.messages.length;
    proxy.signal("SIGHUP");
    await manager.message(/^RELOADING=1\nMONOTONIC_USEC=\d+$/, before);
    await manager.message(/^READY=1$/, before);
    assertEquals(await proxy.ask(), "primary");
  });
}

async function proxyAnswer(proxy: Proxy): Promise<string> {
  await proxy.event("port.opened");
  return await proxy.ask();
}

for (const relay of isLinux ? ENGINES : []) {
  testWithPrograms(
    `[${relay}] the service manager is told what happens, at a path and at a name without a file`,
    [],
    async () => {
      await using folder = await Folder.make();
      await using upstream = await startUpstream({ says: "primary" });
      for (const place of [folder.at("notify.sock"), `@failover-test-${crypto.randomUUID()}`]) {
        using manager = new TestServiceManager();
        const env = {
          NOTIFY_SOCKET: manager.notifySocket(place),
          // Two messages within half a second.
          WATCHDOG_USEC: "500000",
        };
        await using proxy = await startProxy({
          upstreams: [upstream],
          flags: { relay },
          env,
        });
        assertEquals(await manager.message(/^READY=1/), "READY=1");
        await manager.message(new RegExp(`^STATUS=${upstream.name}, the primary, serves$`));
        await manager.message(/^WATCHDOG=1$/);
        const before = manager.messages.length;
        await manager.message(/^WATCHDOG=1$/, before);
        await upstream.kill();
        await manager.message(/^STATUS=No upstream is usable/);
        await upstream.restart();
        await manager.message(/^STATUS=.* serves$/, manager.messages.length);
        assertEquals(await proxy.stop(), 0);
        await manager.message(/^STOPPING=1$/);
        assertEquals(proxy.events("config.warned", { warning: /notified/ }), []);
      }
    },
  );
}

testWithPrograms(
  "a proxy whose upstreams are all down is ready, since it would be killed else",
  [],
  async () => {
    if (!isLinux) return;
    using manager = new TestServiceManager();
    const place = manager.notifySocket(`@failover-test-${crypto.randomUUID()}`);
    await using proxy = spawnProxy({
      upstreams: [{ name: `127.0.0.1:${unusedPort()}` }],
      env: { NOTIFY_SOCKET: place },
    });
    await manager.message(/^READY=1$/);
    await manager.message(/^STATUS=No upstream is usable/);
    assertEquals(await proxy.stop(), 0);
  },
);
