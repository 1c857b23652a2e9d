/** An upgrade in place and a reload of a proxy that shares its decisions. */
import { assertEquals } from "@std/assert";
import { ETCD, EtcdCluster } from "../harness/etcd.ts";
import { startProxy } from "../harness/proxy.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { untilTrue } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { Upgradable } from "../harness/upgradable.ts";

if (Deno.build.os === "linux") {
  testWithPrograms(
    "the new process of a cluster's leader serves on, and it decides or another one does",
    [
      ...ETCD === undefined ? ["etcd"] : [],
    ],
    async () => {
      await using etcd = await EtcdCluster.start(1);
      await using first = await startUpstream({ says: "first" });
      await using second = await startUpstream({ says: "second" });
      const upstreams = [first, second];
      const shared = {
        "coordinator": `etcd://${etcd.members[0]!.address}/test`,
        "coordinator-lease": "5s",
      };
      await using it = await Upgradable.start((more, folder) => {
        const flags = { ...shared, ...more, "state-dir": folder.at("state") };
        return startProxy({ upstreams, flags });
      });
      await using other = await startProxy({ upstreams, flags: shared });
      const { status } = await it.upgrade();
      assertEquals(status, 200);
      assertEquals(await it.proxy.ask(), "first");
      await first.kill();
      // The lead was free at once, and one of the two has taken it.
      assertEquals(await other.ask(), "second");
      assertEquals(await it.proxy.ask(), "second");
      await untilTrue("both to be members", async () => {
        const { cluster } = await (await it.control.get("state")).json();
        return cluster.proxies.length === 2 && ["leads", "follows"].includes(cluster.role);
      }, it.proxy.lastLines);
    },
  );
}
