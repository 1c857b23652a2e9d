/** Whom the webhook tells that a proxy has lost etcd: a real receiver, real proxies and a real etcd. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { ETCD } from "../harness/etcd.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { SmallCluster } from "./testing/small_cluster.ts";

testWithPrograms(
  "cluster: the webhook tells of a failover once, and each proxy tells that it has lost etcd",
  ETCD === undefined ? ["etcd"] : [],
  async () => {
    const told: Record<string, unknown>[] = [];
    let news = Promise.withResolvers<void>();
    await using receiver = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        told.push(await request.json());
        news.resolve();
        news = Promise.withResolvers();
        return new Response();
      },
    );
    const heard = async (kind: string, count: number) => {
      const search = async () => {
        while (told.filter((each) => each.kind === kind).length < count) await news.promise;
      };
      await withTestDeadline(`${count} times ${kind}`, search(), () => JSON.stringify(told));
      return told.filter((each) => each.kind === kind);
    };
    const url = `http://127.0.0.1:${receiver.addr.port}/`;
    await using cluster = await SmallCluster.start(2, {
      "webhook-url": url,
      "webhook-format": "json",
    });
    const { first, second, etcd, members } = cluster;
    await first.kill();
    await cluster.serve(second);
    const [{ from, to }] = await heard("failover", 1) as [Record<string, unknown>];
    assertEquals([from, to], [first.name, second.name]);
    await etcd.members[0]!.kill();
    for (const { proxy } of members) await proxy.event("coordinator.lost");
    const lost = await heard("coordinator_lost", 2);
    for (const notice of lost) {
      assertEquals(notice.to, second.name);
      assertStringIncludes(String(notice.message), "NOTHING IS PROMOTED");
    }
    assertEquals(told.map(({ kind }) => kind), [
      "failover",
      "coordinator_lost",
      "coordinator_lost",
    ]);
  },
);
