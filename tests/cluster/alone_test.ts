/** A proxy that is alone, and proxies at the start without etcd. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { enableUsers, ETCD, EtcdCluster, ETCDCTL, writeEtcdCertificates } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy, spawnProxy, startProxy } from "../harness/proxy.ts";
import { scenario, testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { copyTree } from "./testing/copied_tree.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** Nobody listens there. */
const nowhere = () => `etcd://127.0.0.1:${unusedPort()}/test`;
const LEASE = { "coordinator-lease": "5s" };
/** For what must not end a lease; and etcd, which hashes passwords for long on a busy machine, has time to answer. */
const LONG_LEASE = { "coordinator-lease": "60s" };

/** Rooms that are loaded only where an option asks for them. */
const ON_DEMAND = ["cluster", "databases"];

Deno.test("a proxy without these options serves although no module of cluster and databases is there", async () => {
  await using folder = await Folder.make();
  const main = await copyTree(folder, { without: ON_DEMAND });
  await using upstream = await startUpstream({ says: "first" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const args = ["--bind", bind, "--hosts", upstream.name, "--json-logs"];
  await using proxy = new Proxy(args, {}, bind, main);
  await proxy.event("port.opened", { service: "tcp" });
  assertEquals(await proxy.ask(), "first");
  // With such an option they would be loaded.
  const others = ["--bind", `127.0.0.1:${unusedPort()}`, "--hosts", upstream.name];
  for (
    const [room, flags] of [["cluster", ["--coordinator", nowhere()]], ["databases", [
      "--check=redis",
    ]]] as const
  ) {
    await using other = new Proxy([...others, ...flags], {}, "", main);
    const { code } = await other.ended;
    assert(code !== 0);
    assertStringIncludes(other.log.join("\n"), room);
  }
});

scenario(
  "without etcd at the start clients are refused, since nobody knows who serves",
  async (relay) => {
    await using upstream = await startUpstream({ says: "first" });
    const flags = { ...relay, ...LEASE, coordinator: nowhere() };
    await using proxy = spawnProxy({ upstreams: [upstream], flags });
    await proxy.event("coordinator.lost");
    await proxy.event("upstream.up", { upstream: upstream.name });
    assertEquals(proxy.events("port.opened", { service: "tcp" }), []);
    assertEquals(await proxy.connect().then(() => "connected", () => "refused"), "refused");
  },
);

scenario("without etcd at the start the state folder says who serves", async (relay) => {
  await using folder = await Folder.make();
  await using first = await startUpstream({ says: "first" });
  await using second = await startUpstream({ says: "second" });
  const upstreams = [first, second];
  const flags = { ...relay, "state-dir": folder.at("state") };
  await first.kill();
  {
    await using alone = await startProxy({ upstreams, flags });
    assertEquals(await alone.ask(), "second");
    assertEquals(await alone.stop(), 0);
  }
  await first.restart();
  const member = { ...flags, ...LEASE, coordinator: nowhere() };
  await using proxy = await startProxy({ upstreams, flags: member });
  await proxy.event("coordinator.lost");
  assertEquals(await proxy.ask(), "second");
});

scenario(
  "with decide-alone a proxy without etcd decides after the time of a lease",
  async (relay) => {
    await using first = await startUpstream({ says: "first" });
    await using second = await startUpstream({ says: "second" });
    const alone = { "without-coordinator": "decide-alone" };
    const flags = { ...relay, ...LEASE, ...alone, coordinator: nowhere() };
    await using proxy = await startProxy({ upstreams: [first, second], flags });
    await proxy.event("coordinator.ignored");
    assertEquals(await proxy.ask(), "first");
    await first.kill();
    assertEquals(await proxy.ask(), "second");
  },
);

Deno.test("without etcd at the start an HTTP service serves all the same, without a promotion", async () => {
  await using upstream = await WebUpstream.start("first");
  const flags = { ...LEASE, coordinator: nowhere() };
  await using proxy = await startWebProxy({ primary: upstream, flags }, "service.failedOpen");
  await proxy.event("coordinator.lost");
  assertEquals((await proxy.get("/")).status, 200);
  assertEquals(proxy.events("promotion.started"), []);
  // The upstream is up, and nothing says otherwise.
  const { message } = await proxy.event("service.failedOpen");
  assertMatch(message, /^nothing is decided, .* clients are let through to /);
});

testWithPrograms("a proxy at the start takes the shared decision, and not what it remembers", [
  ...ETCD === undefined ? ["etcd"] : [],
], async () => {
  await using folder = await Folder.make();
  await using etcd = await EtcdCluster.start(1);
  await using first = await startUpstream({ says: "first" });
  await using second = await startUpstream({ says: "second" });
  const upstreams = [first, second];
  const coordinator = `etcd://${etcd.members[0]!.address}/test`;
  const flags = { ...LONG_LEASE, coordinator };
  const stateful = { ...flags, "state-dir": folder.at("state") };
  await using stays = await startProxy({ upstreams, flags });
  {
    await using leaves = await startProxy({ upstreams, flags: stateful });
    assertEquals(await leaves.ask(), "first");
    assertEquals(await leaves.stop(), 0);
  }
  await first.kill();
  await stays.event("promotion.finished", { to: second.name });
  await first.restart();
  await using again = await startProxy({ upstreams, flags: stateful });
  await again.event("decision.followed", { to: second.name });
  assertEquals(await again.ask(), "second");
});

testWithPrograms("a proxy logs in to etcd, and shows its certificate", [
  ...["openssl", ...ETCD === undefined ? ["etcd"] : []],
  ...ETCDCTL === undefined ? ["etcdctl"] : [],
], async () => {
  await using folder = await Folder.make();
  const certificates = await writeEtcdCertificates(folder.path);
  await using etcd = await EtcdCluster.start(1, { certificates });
  await enableUsers(etcd, "geheim", certificates);
  await using upstream = await startUpstream({ says: "first" });
  const password = await folder.write("password", "geheim\n");
  const all = {
    ...LONG_LEASE,
    "coordinator": `etcd://${etcd.members[0]!.address}/test`,
    "coordinator-ca": certificates.ca,
    "coordinator-cert": certificates.cert,
    "coordinator-key": certificates.key,
    "coordinator-user": "root",
    "coordinator-password-file": password,
  };
  await using proxy = await startProxy({ upstreams: [upstream], flags: all });
  await proxy.event("lead.taken");
  assertEquals(await proxy.ask(), "first");
  // Each of them is needed.
  const { "coordinator-ca": _ca, ...withoutCa } = all;
  const { "coordinator-cert": _cert, "coordinator-key": _key, ...withoutCert } = all;
  const { "coordinator-user": _user, "coordinator-password-file": _file, ...withoutUser } = all;
  for (const flags of [withoutCa, withoutCert, withoutUser]) {
    await using stranger = spawnProxy({ upstreams: [upstream], flags });
    await stranger.event("coordinator.lost");
    assertEquals(stranger.events("lead.taken"), []);
  }
});
