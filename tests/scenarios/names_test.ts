/** A name server that does not answer: which clients, checks and triggers wait for it. */
import { assertEquals } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { mayServeNames, NameServer } from "../harness/name_server.ts";
import { Proxy, startProxy } from "../harness/proxy.ts";
import { type Engine, ENGINES } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const ignore = !mayServeNames();

function named(name: string, run: (relay: Engine) => Promise<void>): void {
  for (const relay of ENGINES) {
    Deno.test({ name: `[${relay}] ${name}`, ignore, fn: () => run(relay) });
  }
}

/** The upstream under a name. */
const under = (name: string, address: string) => ({ name: `${name}:${address.split(":")[1]}` });

named("an outage of the name service changes nothing: the last address stays", async (relay) => {
  await using names = await NameServer.start();
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const upstreams = [under("db1.test", primary.name), under("db2.test", backup.name)];
  const flags = { relay };
  await using proxy = await startProxy({
    upstreams,
    flags,
    under: await names.command(folder),
  });
  assertEquals(await proxy.ask(), "primary");
  names.isSilent = true;
  await names.unanswered("db1.test");
  for (let i = 0; i < 10; i++) assertEquals(await proxy.ask(), "primary");
  assertEquals(proxy.events("upstream.down"), []);
  // The upstream can still go down, as the probe has its address.
  await primary.kill();
  assertEquals(await proxy.ask(), "backup");
});

named("an outage of the name service changes nothing in HTTP mode", async (relay) => {
  await using names = await NameServer.start();
  await using folder = await Folder.make();
  await using primary = await WebUpstream.start("primary");
  await using backup = await WebUpstream.start("backup");
  const at = (name: string, { url }: { url: string }) => ({
    url: url.replace("127.0.0.1", name),
    name,
  });
  await using proxy = await startWebProxy({
    primary: at("web1.test", primary),
    backups: [at("web2.test", backup)],
    flags: { relay },
    under: await names.command(folder),
  });
  assertEquals((await proxy.get("/")).text, "primary");
  names.isSilent = true;
  await names.unanswered("web1.test");
  for (let i = 0; i < 10; i++) assertEquals((await proxy.get("/")).text, "primary");
  assertEquals(proxy.events("upstream.down"), []);
  await primary.kill();
  assertEquals((await proxy.get("/")).text, "backup");
});

named("many silent names keep neither clients nor triggers of others waiting", async (relay) => {
  await using names = await NameServer.start();
  names.isSilent = true;
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const trigger = await folder.script("promote", "echo promoted >> said");
  const silent = Array.from({ length: 40 }, (_, i) => `silent${i}.test:5432`);
  const bind = `127.0.0.1:${unusedPort()}`;
  const config = await folder.write(
    "config.yaml",
    `check_interval: 200ms
check_timeout: 5s
relay: ${relay}
json_logs: true
log_level: debug
services:
  silent:
    bind: 127.0.0.1:${unusedPort()}
    hosts: [${silent.map((name) => `"${name}"`).join(", ")}]
  works:
    bind: ${bind}
    hosts: ["${primary.name}", "${backup.name}"]
    on_failover: ${trigger}
`,
  );
  const args = ["--config", config];
  await using proxy = new Proxy(args, {}, bind, undefined, await names.command(folder));
  await proxy.event("port.opened", { service: "works" });
  assertEquals(await proxy.ask(), "primary");
  await names.unanswered("silent0.test");
  await primary.kill();
  assertEquals(await proxy.ask(), "backup");
  // The line is logged after clients are let in.
  for (const epoch of [1, 2]) await proxy.event("trigger.finished", { service: "works", epoch });
  assertEquals(await folder.read("said"), "promoted\npromoted\n");
});

named("an address that was found dead is not tried first by later clients", async (relay) => {
  await using names = await NameServer.start();
  await using folder = await Folder.make();
  const port = unusedPort();
  const at = (hostname: string) =>
    startUpstream({ says: hostname, listen: { transport: "tcp", hostname, port } });
  names.addresses = ["127.0.0.2", "127.0.0.3"];
  await using second = await at("127.0.0.2");
  await using third = await at("127.0.0.3");
  await using proxy = await startProxy({
    upstreams: [{ name: `db.test:${port}` }],
    // It is one upstream, and it is up as long as one of its addresses answers.
    flags: { relay, "fail-threshold": "100" },
    under: await names.command(folder),
  });
  const first = await proxy.ask();
  const [dead, alive] = first === second.says ? [second, third] : [third, second];
  await dead.kill();
  assertEquals(await proxy.ask(), alive.says);
  // A client that began with the dead address would be answered from there now.
  await dead.restart();
  for (const clients of [1, 2, 4]) {
    const answers = await Promise.all(Array.from({ length: clients }, () => proxy.ask()));
    assertEquals(new Set(answers), new Set([alive.says]));
  }
});
