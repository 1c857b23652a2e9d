import { assertEquals, assertStringIncludes } from "@std/assert";
import { type ClusterReport, CUT_OFF } from "../failover/cluster.ts";
import { clusterFamilies, clusterJson, clusterTroubles } from "./cluster.ts";
import { TestService } from "./testing/service.ts";
import { isReady, type ServiceView } from "./view.ts";

const REPORT: ClusterReport = {
  ...{ instance: "p1", role: "leads", leader: "p1", isReachable: true, reason: undefined },
  leaseLeftMs: 6_543.2,
  decision: {
    ...{ epoch: 3, to: "b", from: undefined, phase: "done", move: "start" },
    ...{ reason: "first", by: "p1" },
  },
  proxies: [
    { instance: "p1", version: "1", up: ["a"], down: [], differs: undefined },
    { instance: "p2", version: "2", up: [], down: ["a"], differs: "its version is 2" },
  ],
};

async function viewOf(report?: ClusterReport): Promise<ServiceView> {
  await using service = new TestService({ name: "db" });
  return { ...service.view, ...report === undefined ? {} : { cluster: () => report } };
}

Deno.test("a proxy that is alone shows nothing of a cluster", async () => {
  const view = await viewOf();
  assertEquals([clusterJson(view), clusterTroubles(view), clusterFamilies([view])], [null, [], []]);
});

Deno.test("role, lease, decision and the other proxies are in the state and the metrics", async () => {
  const view = await viewOf(REPORT);
  const json = clusterJson(view)!;
  assertEquals([json.role, json.leader, json.lease_left_ms], ["leads", "p1", 6_543]);
  assertEquals((json.decision as Record<string, unknown>).from, null);
  const text = clusterFamilies([view]).join("");
  for (
    const line of [
      'failover_cluster_leader{service="db"} 1',
      'failover_cluster_proxies{service="db"} 2',
      'failover_cluster_proxies_differing{service="db"} 1',
      'failover_coordinator_reachable{service="db"} 1',
      'failover_lease_left_seconds{service="db"} 6.5432',
    ]
  ) assertStringIncludes(text, line);
});

Deno.test("a proxy that is cut off says so loudly, and is not ready", async () => {
  const cut = { ...REPORT, role: "cutOff", isReachable: false, reason: "no answer" } as const;
  const view = await viewOf(cut);
  assertEquals(clusterTroubles(view), [
    "etcd cannot be used (no answer): the last decision, if it is known, is served, and nothing is promoted.",
    "Proxy p2 differs: its version is 2.",
  ]);
  assertEquals(
    clusterTroubles(await viewOf({ ...cut, role: "alone" }))[0],
    [
      "etcd cannot be used (no answer): this proxy decides alone.",
    ][0],
  );
  const state = { ...view.state(), cluster: { ...CUT_OFF } };
  assertEquals(isReady({ ...view, state: () => state }), false);
});
