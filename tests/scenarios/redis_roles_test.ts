/**
 * Redis with a replica, and `failover` in front with `--check redis` and no script. Each option of such a check has its
 * effect on a real proxy.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { type Flags, runProxy, spawnProxy, startProxy } from "../harness/proxy.ts";
import { Redis, REDIS_NEEDS } from "../harness/redis.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { untilTrue, withTestDeadline } from "../harness/test_deadline.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { acceptedBy } from "../harness/accepted.ts";

const REDIS = { check: "redis" };

/** A master, its replica, and the proxy in front of both. */
async function pair(flags: Flags) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  const master = stack.use(await Redis.make(folder.path));
  const replica = stack.use(await Redis.replica(folder.path, master));
  const proxy = stack.use(
    await startProxy({ upstreams: [replica, master], flags: { ...REDIS, ...flags } }),
  );
  await proxy.event("promotion.finished", { move: "start", to: master.name });
  await proxy.event("server.roleChanged", { upstream: replica.name, role: "standby" });
  const owned = stack.move();
  return { folder, master, replica, proxy, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function write(address: string, value: string): Promise<string> {
  const [host, port] = address.split(":");
  const args = ["-h", host!, "-p", port!, "set", "key", value];
  const { stdout } = await new Deno.Command("redis-cli", { args }).output();
  return new TextDecoder().decode(stdout).trim();
}

scenario(
  "a killed master: its replica is promoted, clients write again, and the old master is refused",
  async (relay) => {
    await using control = await Control.make();
    await using scene = await pair({ ...relay, promote: "on", control: control.path });
    const { master, replica, proxy } = scene;
    assertEquals(await write(proxy.address, "one"), "OK");
    await master.kill();
    await proxy.event("server.promoted", { upstream: replica.name });
    await proxy.event("promotion.finished", { move: "failover", to: replica.name });
    assertEquals(await write(proxy.address, "two"), "OK");
    await master.start();
    await proxy.event("upstream.barred", { upstream: master.name, kind: "stale" });
    const state = await (await control.get("state")).json();
    const old = state.upstreams.find(({ name }: { name: string }) => name === master.name);
    assertEquals([old.verdict, old.server.role, old.barred.kind], ["up", "primary", "stale"]);
    const metrics = await (await control.get("metrics")).text();
    assertMatch(
      metrics,
      new RegExp(`failover_upstream_barred\\{service="tcp",upstream="${master.name}"\\} 1`),
    );
    assertMatch(metrics, /failover_server_promotion_duration_seconds_count\{.*"finished"\} 1/);
    const [status, refused] = await control.order(`switchover?to=${master.name}`);
    assertEquals(status, 409);
    assertMatch(String(refused.error), /stale primary/);
    await master.command("replicaof", "127.0.0.1", String(replica.port));
    await proxy.event("upstream.allowed", { upstream: master.name });
  },
  REDIS_NEEDS,
);

scenario(
  "a master that is only silent is replaced, and its sessions end before that, also those that still send",
  async (relay) => {
    await using scene = await pair({ ...relay, "promote": "on", "check-timeout": "2s" });
    const { master, replica, proxy } = scene;
    const [hostname, port] = proxy.address.split(":");
    using conn = await Deno.connect({ hostname: hostname!, port: Number(port) });
    const ping = new TextEncoder().encode("PING\r\n");
    await conn.write(ping);
    await withTestDeadline("its answer", conn.read(new Uint8Array(16)));
    await master.freeze();
    await proxy.event("probe.failed", { upstream: master.name });
    // The kernel of a master that stands still takes what clients send.
    await conn.write(ping);
    await proxy.event("promotion.finished", { move: "failover", to: replica.name });
    await conn.write(ping).catch(() => {});
    const { count, kept } = await proxy.event("sessions.cut", { upstream: master.name });
    assertEquals([count, kept], [1, 0]);
    const rest = conn.read(new Uint8Array(16)).catch(() => null);
    assertEquals(await withTestDeadline("the end of the session", rest), null);
    assertEquals(await write(proxy.address, "two"), "OK");
    master.thaw();
    await proxy.event("upstream.barred", { upstream: master.name, kind: "stale" });
  },
  REDIS_NEEDS,
);

scenario(
  "a master that somebody else made a replica is left at once for the new one",
  async (relay) => {
    await using scene = await pair(relay);
    const { master, replica, proxy } = scene;
    await replica.command("replicaof", "no", "one");
    await master.command("replicaof", "127.0.0.1", String(replica.port));
    await proxy.event("upstream.down", { upstream: master.name, reason: /it is a standby now/ });
    await proxy.event("promotion.finished", { move: "failover", to: replica.name });
    assertEquals(await write(proxy.address, "two"), "OK");
  },
  REDIS_NEEDS,
);

/** The same with a second replica of the master, which has died, so that the first one was promoted. */
async function orphaned(relay: Flags) {
  await using stack = new AsyncDisposableStack();
  const [folder, other] = [stack.use(await Folder.make()), stack.use(await Folder.make())];
  const master = stack.use(await Redis.make(folder.path));
  const replica = stack.use(await Redis.replica(folder.path, master));
  const second = stack.use(await Redis.replica(other.path, master));
  const proxy = stack.use(
    await startProxy({
      upstreams: [master, replica, second],
      flags: { ...REDIS, ...relay, promote: "on" },
    }),
  );
  for (const { name } of [replica, second]) {
    await proxy.event("server.roleChanged", { upstream: name, role: "standby" });
  }
  await master.kill();
  await proxy.event("promotion.finished", { move: "failover", to: replica.name });
  // It has lost its master, and gets nothing that clients write from now on.
  const barred = await proxy.event("upstream.barred", { upstream: second.name, kind: "strayed" });
  assertEquals(barred.reason, `it copies ${master.name}, and ${replica.name} was chosen last`);
  const owned = stack.move();
  return { replica, second, proxy, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

scenario(
  "a replica of the old master is not promoted when the new one dies",
  async (relay) => {
    await using scene = await orphaned(relay);
    const { replica, second, proxy } = scene;
    await replica.kill();
    await proxy.event("selection.failed", { message: /it copies/ });
    assertEquals(proxy.events("server.promoted", { upstream: second.name }), []);
  },
  REDIS_NEEDS,
);

scenario(
  "a replica that was made one of the new master is promoted when that dies",
  async (relay) => {
    await using scene = await orphaned(relay);
    const { replica, second, proxy } = scene;
    assertEquals(await write(proxy.address, "two"), "OK");
    await second.command("replicaof", "127.0.0.1", String(replica.port));
    await proxy.event("upstream.allowed", { upstream: second.name });
    const has = async () => await second.command("get", "key") === "two";
    await untilTrue("the second replica to have it", has, proxy.lastLines);
    await replica.kill();
    await proxy.event("server.promoted", { upstream: second.name });
    await proxy.event("promotion.finished", { move: "failover", to: second.name });
    assertEquals(await write(proxy.address, "three"), "OK");
  },
  REDIS_NEEDS,
);

testWithPrograms("--max-lag excludes a replica that is too far behind", REDIS_NEEDS, async () => {
  await using scene = await pair({ "promote": "on", "max-lag": "1KB" });
  const { master, replica, proxy } = scene;
  await master.command("set", "key", "short");
  await master.command("wait", "1", "5000");
  // The replica cannot log in any more and gets no further changes; the connection of the check is logged in already.
  await master.command("config", "set", "requirepass", "x");
  await master.command("-a", "x", "client", "kill", "type", "replica");
  await master.command("-a", "x", "set", "key", "x".repeat(100_000));
  await proxy.event("upstream.barred", { upstream: replica.name, kind: "lag" });
  await master.kill();
  await proxy.event("selection.failed", { message: /behind \(--max-lag 1KB\)/ });
  assertEquals(proxy.events("server.promoted"), []);
});

testWithPrograms(
  "a replica that a reload adds is asked and promoted, and one that it removes is left alone",
  REDIS_NEEDS,
  async () => {
    await using folder = await Folder.make();
    await using master = await Redis.make(folder.path);
    await using first = await Redis.replica(folder.path, master);
    await using other = await Folder.make();
    await using second = await Redis.replica(other.path, master);
    const bind = `127.0.0.1:${unusedPort()}`;
    const listOf = (...hosts: { name: string }[]) => ({
      services: {
        db: { hosts: hosts.map(({ name }) => name), bind, check: "redis", promote: true },
      },
    });
    await using proxy = await startReloaded(listOf(master, first));
    await proxy.event("promotion.finished", { to: master.name });
    await proxy.event("server.roleChanged", { upstream: first.name });
    assertEquals((await proxy.reload(listOf(second, master))).code, 0);
    await proxy.event("server.roleChanged", { upstream: second.name, role: "standby" });
    // Only the servers of the list have a connection of the check.
    const named = async (server: Redis) =>
      (await server.command("client", "list")).includes("name=failover");
    assertEquals([await named(master), await named(second)], [true, true]);
    await withTestDeadline(
      "the removed one to be left",
      (async () => {
        while (await named(first));
      })(),
    );
    await master.kill();
    await proxy.event("server.promoted", { upstream: second.name });
    await proxy.event("promotion.finished", { move: "failover", to: second.name });
    assertEquals(await write(bind, "two"), "OK");
  },
);

testWithPrograms("--promote-timeout ends an attempt", ["redis-server"], async () => {
  await using fake = fakeReplica();
  await using folder = await Folder.make();
  await using master = await Redis.make(folder.path);
  await using proxy = await startProxy({
    upstreams: [master, fake],
    flags: { ...REDIS, "promote": "on", "promote-timeout": "300ms" },
  });
  await proxy.event("server.roleChanged", { upstream: fake.name, role: "standby" });
  await master.kill();
  await proxy.event("server.promotionFailed", { reason: "not done within 300ms" });
  await proxy.event("promotion.delayed", { to: fake.name });
});

testWithPrograms(
  "--check-user and --check-password-file log in, and a wrong password leaves the role unknown",
  REDIS_NEEDS,
  async () => {
    await using folder = await Folder.make();
    await using server = await Redis.make(folder.path);
    await server.command("acl", "setuser", "checker", "on", ">right", "+role", "+info", "+ping");
    await server.command("acl", "setuser", "default", "off");
    const password = await folder.write("password", "wrong\n");
    const flags = { ...REDIS, "check-user": "checker", "check-password-file": password };
    await using proxy = await startProxy({ upstreams: [server], flags });
    const unknown = await proxy.event("server.roleUnknown", { upstream: server.name });
    assertMatch(unknown.reason, /WRONGPASS/);
    assert(!proxy.log.join("\n").includes('wrong"'), "the password is in the log");
    // The file is read anew for each log-in, and a refused one is repeated after a pause.
    await folder.write("password", "right\n");
    await proxy.event("server.roleChanged", { upstream: server.name, role: "primary" });
  },
);

testWithPrograms(
  "--check-tls and --check-ca-file decide how a server is asked",
  REDIS_NEEDS,
  async () => {
    await using folder = await Folder.make();
    const { certPath, keyPath } = await writeCertificate(folder.path);
    await using server = await Redis.make(folder.path, [
      ...["--tls-cert-file", certPath, "--tls-key-file", keyPath, "--tls-ca-cert-file", certPath],
      ...["--tls-auth-clients", "no"],
    ]);
    const tlsPort = unusedPort();
    const upstream = { name: `127.0.0.1:${tlsPort}` };
    await server.command("config", "set", "tls-port", String(tlsPort));
    const roleWith = async (flags: Flags) => {
      // A handshake may take long on a busy machine.
      const all = { ...REDIS, "check-timeout": "20s", ...flags };
      await using proxy = spawnProxy({ upstreams: [upstream], flags: all });
      await proxy.line(/"event":"(server\.role(Changed|Unknown)|selection\.failed)"/);
      return proxy.events("server.roleChanged")[0]?.role ?? "none";
    };
    assertEquals(await roleWith({ "check-tls": "require" }), "primary");
    assertEquals(await roleWith({ "check-ca-file": certPath }), "primary");
    assertEquals(await roleWith({ "check-tls": "verify-full" }), "none");
    assertEquals(await roleWith({}), "none");
  },
);

testWithPrograms("files that a check names must exist", [], async () => {
  const flags = ["--check=redis", "--check-password-file=/nowhere", "--check-ca-file=/nowhere"];
  const { code, stderr } = await runProxy(["-H", "a:1,b:1", "-p", "0", ...flags]);
  assertEquals(code, 2);
  assertEquals(stderr.map((line) => /as (check_\w+)/.exec(line)?.[1]), [
    "check_password_file",
    "check_ca_file",
  ]);
});

/** A replica that never answers the order to become a master. */
function fakeReplica() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conns = new Set<Deno.Conn>();
  const info =
    "role:slave\r\nmaster_link_status:up\r\nslave_repl_offset:9\r\nslave_read_only:1\r\n";
  const answers: Readonly<Record<string, string>> = {
    PING: "+PONG\r\n",
    ROLE: "*5\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n$9\r\nconnected\r\n:9\r\n",
    INFO: `$${info.length}\r\n${info}\r\n`,
    REPLICAOF: "",
  };
  const serve = async (conn: Deno.Conn) => {
    conns.add(conn);
    for await (const part of conn.readable) {
      const words = new TextDecoder().decode(part).toUpperCase().split("\r\n");
      const known = words.filter((word) => word in answers || word === "CLIENT" || word === "AUTH");
      const reply = known.map((word) => answers[word] ?? "+OK\r\n").join("");
      await conn.write(new TextEncoder().encode(reply));
    }
  };
  const serving = (async () => {
    for await (const conn of acceptedBy(listener)) serve(conn).catch(() => {});
  })();
  return {
    name: `127.0.0.1:${listener.addr.port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const conn of conns) {
        try {
          conn.close();
        } catch { /* its peer has closed it */ }
      }
      await serving;
    },
  };
}
