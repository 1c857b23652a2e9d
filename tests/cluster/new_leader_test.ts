/** What a new leader makes of the decisions that it finds, or has missed, in front of real PostgreSQL servers. */
import { assertEquals } from "@std/assert";
import type { Folder } from "../harness/folder.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { PostgresServers, postgresTemplate } from "./postgres_servers.ts";
import { ProxyCluster } from "./proxy_cluster.ts";
import { SCHEDULE_NEEDS } from "./schedule.ts";
import type { Writer } from "./writer.ts";

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

/** Two proxies, the one that leads, and a client of each that has written. */
async function scene(promotes: "proxy" | "trigger") {
  await using stack = new AsyncDisposableStack();
  const template = stack.use(await postgresTemplate());
  const serve = (folder: Folder) => PostgresServers.start(folder, template, { promotes });
  const cluster = stack.use(await ProxyCluster.start(2, {}, { serve, splits: true }));
  const leader = await cluster.leader();
  const number = cluster.members.indexOf(leader);
  const other = cluster.members[1 - number]!;
  const all = cluster.write();
  await Promise.all(all.map((writer) => further(writer, cluster.first.name)));
  const owned = stack.move();
  return {
    ...{ cluster, leader, other, writers: [all[number]!, all[1 - number]!] as const },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

testWithPrograms(
  "a leader goes back to no server that was left before it led",
  SCHEDULE_NEEDS,
  async () => {
    await using it = await scene("proxy");
    const { cluster, leader, other, writers } = it;
    const { first, second } = cluster;
    // The other proxy misses that the second server is chosen, and what a client writes to it.
    other.cut();
    await other.proxy.event("coordinator.lost");
    await first.kill();
    await leader.proxy.event("promotion.finished", { to: second.name });
    await further(writers[0], second.name);
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
    await further(writers[1], second.name);
    assertEquals(await cluster.breaches(), []);
  },
);

testWithPrograms(
  "a leader goes on with the primary if the standby was not promoted in time",
  SCHEDULE_NEEDS,
  async () => {
    await using it = await scene("trigger");
    const { cluster, leader, other, writers } = it;
    const { first, folder } = cluster;
    // The trigger waits before it promotes, so that it dies with its proxy before it has.
    await folder.write("late", "");
    await folder.write("seconds-2", "30");
    await first.kill();
    await cluster.triggered(({ what, epoch }) => what === "begin" && epoch === 2);
    const down = await other.proxy.event("upstream.down", { upstream: first.name });
    leader.proxy.signal("SIGKILL");
    await leader.proxy.ended;
    await first.start();
    await other.proxy.event("upstream.up", { upstream: first.name }, down);
    await other.proxy.event("promotion.finished", { to: first.name, move: "failover" });
    await further(writers[1], first.name);
    assertEquals(await cluster.breaches(), []);
  },
);
