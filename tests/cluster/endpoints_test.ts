/** Endpoints of etcd that are silent, slow, broken, or something else: real proxies use those that work. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Control } from "../harness/control.ts";
import { ETCD, EtcdCluster, ETCDCTL } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { NEEDS_FOR_HOSTS, underHosts } from "../harness/hosts.ts";
import { mayServeNames, NameServer, NEEDS_FOR_NAMES } from "../harness/name_server.ts";
import { assertSlim, peakMemory } from "../harness/peak_memory.ts";
import { spawnProxy, startProxy } from "../harness/proxy.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { BrokenEndpoint, MANNERS } from "./testing/broken_endpoint.ts";
import { replaceMember } from "./testing/replaced_member.ts";
import { Way } from "./way.ts";

const NEEDS = ETCD === undefined ? ["etcd"] : [];
const QUICK = { "coordinator-lease": "5s" };

/** Resolves when the state gives such a reason for each of these endpoints. */
async function named(
  control: Control,
  endpoints: readonly (readonly [endpoint: string, said: RegExp])[],
): Promise<void> {
  let trouble = "";
  const why = (endpoint: string) =>
    trouble.split("; ").find((each) => each.startsWith(`${endpoint}: `)) ?? "";
  const search = async () => {
    while (!endpoints.every(([endpoint, said]) => said.test(why(endpoint)))) {
      const { cluster } = await (await control.get("state")).json();
      assertEquals([cluster.role, cluster.coordinator_reachable], ["cut_off", false]);
      trouble = cluster.coordinator_trouble;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await withTestDeadline("the state to name each endpoint", search(), () => trouble);
}

testWithPrograms(
  "cluster: endpoints that are no etcd cost a call each, and are named",
  NEEDS,
  async () => {
    await using stack = new AsyncDisposableStack();
    const etcd = stack.use(await EtcdCluster.start(1));
    const first = stack.use(await startUpstream({ says: "first" }));
    const second = stack.use(await startUpstream({ says: "second" }));
    const broken = Object.values(MANNERS).map(({ serve, said }) => ({
      said,
      endpoint: stack.use(new BrokenEndpoint(serve)),
    }));
    const places = [...broken.map(({ endpoint }) => endpoint.address), etcd.members[0]!.address];
    const flags = { ...QUICK, coordinator: `etcd://${places.join(",")}/test` };
    const control = stack.use(await Control.make());
    const proxy = stack.use(
      await startProxy({
        upstreams: [first, second],
        flags: { ...flags, control: control.path },
      }),
    );
    await proxy.event("lead.taken");
    const peak = await peakMemory(proxy);
    assert(broken.every(({ endpoint }) => endpoint.asked > 0));
    await first.kill();
    assertEquals(await proxy.ask(), "second");
    // Without the one that works, each of the others is asked again and again.
    await etcd.members[0]!.kill();
    const lost = await proxy.event("coordinator.lost");
    assertMatch(lost.reason, /http:\/\/127\.0\.0\.1:\d+: /);
    await named(
      control,
      broken.map(({ said, endpoint: { address } }) => [`http://${address}`, said]),
    );
    etcd.members[0]!.start();
    await proxy.event("coordinator.reached", {}, lost);
    await proxy.event("lead.taken", {}, lost);
    assertEquals(await proxy.ask(), "second");
    await assertSlim(proxy, peak);
  },
);

testWithPrograms(
  "cluster: an endpoint whose name gets no answer costs a call, and the next one is used",
  [...NEEDS, ...NEEDS_FOR_NAMES, ...mayServeNames() ? [] : ["the right to serve names"]],
  async () => {
    await using names = await NameServer.start();
    names.isSilent = true;
    await using folder = await Folder.make();
    await using etcd = await EtcdCluster.start(1);
    await using first = await startUpstream({ says: "first" });
    await using second = await startUpstream({ says: "second" });
    const silent = Array.from({ length: 3 }, (_, index) => `etcd${index}.test:2379`);
    const places = [...silent, etcd.members[0]!.address].join(",");
    await using control = await Control.make();
    const flags = {
      // Three calls without an answer take nearly half of it, and a busy machine the rest of a short one.
      ...{
        "coordinator-lease": "15s",
        "coordinator": `etcd://${places}/test`,
        "control": control.path,
      },
      "on-failover": await folder.script("trigger.sh", `echo "$FAILOVER_EVENT" >>runs`),
    };
    const under = await names.command(folder);
    await using proxy = await startProxy({ upstreams: [first, second], flags, under });
    await proxy.event("lead.taken");
    for (const index of silent.keys()) await names.unanswered(`etcd${index}.test`);
    await proxy.event("promotion.finished", { to: first.name });
    await first.kill();
    const moved = await proxy.event("promotion.finished", { from: first.name, to: second.name });
    assertEquals(await proxy.ask(), "second");
    await folder.reads("runs", (text) => text === "start\nfailover\n");
    await etcd.members[0]!.kill();
    await proxy.event("coordinator.lost", {}, moved);
    await proxy.event("lead.lost", {}, moved);
    const said = /no (answer|address of etcd\d\.test) in time/;
    await named(control, silent.map((place) => [`http://${place}`, said]));
    assertEquals(await proxy.ask(), "second");
  },
);

testWithPrograms(
  "cluster: a member of etcd that is replaced, at another address, is reached by its name",
  [...NEEDS, ...NEEDS_FOR_HOSTS, ...ETCDCTL === undefined ? ["etcdctl"] : []],
  async () => {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await Folder.make());
    const etcd = stack.use(await EtcdCluster.start(3));
    const first = stack.use(await startUpstream({ says: "first" }));
    const second = stack.use(await startUpstream({ says: "second" }));
    const [moved, ...others] = etcd.members;
    const ways = others.map(({ address }) => stack.use(new Way(address)));
    const port = moved!.address.split(":")[1];
    const places = [`moved.test:${port}`, ...ways.map(({ address }) => address)];
    const under = await underHosts(folder, "hosts", { "moved.test": "127.0.0.1" });
    const flags = {
      ...{ ...QUICK, "coordinator": `etcd://${places.join(",")}/test`, "hold": "30s" },
      "on-failover": await folder.script("trigger.sh", `echo "$FAILOVER_EVENT" >>runs`),
    };
    const start = () => spawnProxy({ upstreams: [first, second], flags, under });
    const proxies = [stack.use(start()), stack.use(start())];
    for (const proxy of proxies) await proxy.event("port.opened", { service: "tcp" });
    stack.use(await replaceMember(etcd, 0, "127.0.78.9"));
    for (const proxy of proxies) assertEquals(await proxy.ask(), "first");
    // Now there is no other way than the new member.
    await folder.write("hosts", "127.0.0.1 localhost\n127.0.78.9 moved.test\n");
    for (const way of ways) way.cut();
    await first.kill();
    for (const proxy of proxies) assertEquals(await proxy.ask(), "second");
    assertEquals(await folder.read("runs"), "start\nfailover\n");
  },
);
