/** A proxy that was cut off while another server was chosen leads later, in front of real PostgreSQL servers. */
import { assertEquals } from "@std/assert";
import { ETCD } from "../harness/etcd.ts";
import { NEEDS_FOR_HOSTS } from "../harness/hosts.ts";
import { POSTGRES_BIN } from "../harness/postgres.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { PostgresServers, postgresTemplate } from "./postgres_servers.ts";
import { ProxyCluster } from "./proxy_cluster.ts";
import type { Writer } from "./writer.ts";

const NEEDS = [
  ...ETCD === undefined ? ["etcd"] : [],
  ...POSTGRES_BIN === undefined ? ["postgresql"] : [],
  ...["flock", ...NEEDS_FOR_HOSTS],
];

/** Resolves when this client got another write acknowledged by `server`. */
async function further({ writes }: Writer, server: string): Promise<void> {
  const before = writes.length;
  const writing = async () => {
    while (!writes.slice(before).some((each) => each.server === server)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await withTestDeadline(`a write to ${server}`, writing());
}

testWithPrograms("it goes back to no server that was left meanwhile", NEEDS, async () => {
  await using template = await postgresTemplate();
  await using cluster = await ProxyCluster.start(2, {}, {
    serve: (folder) => PostgresServers.start(folder, template, { promotes: "proxy" }),
    splits: true,
  });
  const { first, second } = cluster;
  const leader = await cluster.leader();
  const number = cluster.members.indexOf(leader);
  const other = cluster.members[1 - number]!;
  const writers = cluster.write();
  await Promise.all(writers.map((writer) => further(writer, first.name)));
  // The other proxy misses that the second server is chosen, and what a client writes to it.
  other.cut();
  await other.proxy.event("coordinator.lost");
  await first.kill();
  await leader.proxy.event("promotion.finished", { to: second.name });
  await further(writers[number]!, second.name);
  await second.kill();
  leader.proxy.signal("SIGKILL");
  await leader.proxy.ended;
  // It never serves that server, since it sees it down before it hears of it.
  const down = await other.proxy.event("upstream.down", { upstream: second.name });
  await first.start();
  await other.proxy.event("upstream.up", { upstream: first.name }, down);
  other.heal();
  const taken = await other.proxy.event("lead.taken");
  await other.proxy.event("selection.failed", {}, taken);
  await second.start();
  await further(writers[1 - number]!, second.name);
  assertEquals(await cluster.breaches(), []);
});
