/** A state folder that is full while several proxies share their decisions: real proxies, a real etcd, a small tmpfs. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ETCD, EtcdCluster } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { NEEDS_FOR_HOSTS } from "../harness/hosts.ts";
import { type Proxy, spawnProxy } from "../harness/proxy.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const NEEDS = [...ETCD === undefined ? ["etcd"] : [], ...NEEDS_FOR_HOSTS];
const BYTES = 256 * 1024;

/** The command that starts a process for which `path` is a small file system of its own, with the files of `from`. */
function underSmall(path: string, from: string): string[] {
  const mount = `mount -t tmpfs -o size=${BYTES} tmpfs '${path}' && cp -r '${from}'/. '${path}'`;
  return ["unshare", "-m", "sh", "-c", `${mount} && exec "$@"`, "sh"];
}

/** Leaves no byte in the file system that a process has at `path`. */
async function fill({ pid }: Proxy, path: string): Promise<void> {
  const file = await Deno.open(`/proc/${pid}/root${path}/filler`, { write: true, create: true });
  try {
    for (;;) await file.write(new Uint8Array(512));
  } catch (error) {
    assertStringIncludes(String(error), "No space left");
  } finally {
    file.close();
  }
}

testWithPrograms(
  "cluster: with a full state folder all is decided as before, and it is said",
  NEEDS,
  async () => {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await Folder.make());
    const state = folder.at("state");
    await Deno.mkdir(state);
    await Deno.mkdir(folder.at("nothing"));
    const etcd = stack.use(await EtcdCluster.start(1));
    const first = stack.use(await startUpstream({ says: "first" }));
    const second = stack.use(await startUpstream({ says: "second" }));
    const flags = {
      ...{ "coordinator": `etcd://${etcd.members[0]!.address}/test`, "coordinator-lease": "5s" },
      ...{ "state-dir": state, "hold": "30s" },
      "on-failover": await folder.script("trigger.sh", `echo "$FAILOVER_EVENT" >>runs`),
    };
    const under = underSmall(state, folder.at("nothing"));
    const start = () => stack.use(spawnProxy({ upstreams: [first, second], flags, under }));
    const proxies = [start(), start()];
    for (const proxy of proxies) await proxy.event("port.opened", { service: "tcp" });
    for (const proxy of proxies) await fill(proxy, state);
    await first.kill();
    for (const proxy of proxies) assertEquals(await proxy.ask(), "second");
    for (const proxy of proxies) {
      const { reason } = await proxy.event("state.failed");
      assertStringIncludes(reason, "space");
    }
    await etcd.members[0]!.kill();
    for (const proxy of proxies) await proxy.event("coordinator.lost");
    for (const proxy of proxies) assertEquals(await proxy.ask(), "second");
    for (const proxy of proxies) {
      await Deno.remove(`/proc/${proxy.pid}/root${state}/filler`);
      await proxy.event("state.restored");
      assertEquals(await proxy.stop(), 0);
    }
    assertEquals(await folder.read("runs"), "start\nfailover\n");
  },
);

testWithPrograms(
  "cluster: a start without etcd and with a full state folder is refused in one line",
  NEEDS_FOR_HOSTS,
  async () => {
    await using folder = await Folder.make();
    const [state, before] = [folder.at("state"), folder.at("before")];
    for (const path of [state, before]) await Deno.mkdir(path);
    // What an earlier run has left takes all the space.
    await Deno.writeFile(`${before}/filler`, new Uint8Array(BYTES));
    await using upstream = await startUpstream({ says: "first" });
    const flags = { "coordinator": `etcd://127.0.0.1:${unusedPort()}/test`, "state-dir": state };
    const under = underSmall(state, before);
    await using proxy = spawnProxy({ upstreams: [upstream], flags, under });
    const { code } = await withTestDeadline("the proxy to end", proxy.ended, proxy.lastLines);
    assertEquals(code, 2);
    assertEquals(proxy.log.length, 1, proxy.lastLines());
    assertMatch(proxy.log[0]!, /state.*space/i);
  },
);
