/** What ends a trigger in time, also where its proxy is cut off or stopped, or the shell beside it was killed. */
import { assert, assertEquals } from "@std/assert";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { ProxyCluster } from "./proxy_cluster.ts";

/** Shorter than the triggers here, and long enough for a proxy on a busy machine to keep it. */
const LEASE = { "coordinator-lease": "15s" };

/** A process and its parent. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** All processes of this machine that can be read. */
function processes(): Process[] {
  return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const command = Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ");
      // After the name of the program, which may contain anything (proc(5)).
      const [, parent] = Deno.readTextFileSync(`/proc/${name}/stat`).replace(/^.*\) /s, "").split(
        " ",
      );
      return [{ pid: Number(name), parent: Number(parent), command }];
    } catch {
      return [];
    }
  });
}

/** The watcher beside the trigger of this proxy; waits for it. */
async function watcherOf(proxy: number): Promise<number> {
  const search = async () => {
    for (;;) {
      const all = processes();
      const trigger = all.find(({ parent, command }) =>
        parent === proxy && command.includes("trigger.sh") && !command.includes("kill -KILL")
      );
      const watcher = all.find(({ parent, command }) =>
        parent === trigger?.pid && command.includes("kill -KILL 0")
      );
      if (watcher !== undefined) return watcher.pid;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return await withTestDeadline("the watcher of a trigger", search());
}

/** Resolves when this process has ended; nobody may have taken its exit code yet. */
async function hasEnded(process: number): Promise<void> {
  const search = async () => {
    while (processes().some(({ pid, command }) => pid === process && command !== "")) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await withTestDeadline("the end of a process", search());
}

testWithPrograms(
  "cluster: the watcher of a trigger is killed, then its proxy is stopped: no two runs overlap",
  ["etcd", "flock"],
  async () => {
    await using cluster = await ProxyCluster.start(2, LEASE);
    const writers = cluster.write();
    const { first, second, members, folder } = cluster;
    const leader = await cluster.leader();
    const other = members.find((each) => each !== leader)!;
    await folder.write("seconds-failover", "25");
    await first.kill();
    await cluster.triggered(({ event, what }) => event === "failover" && what === "begin");
    Deno.kill(await watcherOf(leader.proxy.pid), "SIGKILL");
    leader.proxy.signal("SIGSTOP");
    await other.proxy.event("promotion.finished", { to: second.name, move: "resume" });
    leader.proxy.signal("SIGCONT");
    await leader.proxy.event("decision.followed", { to: second.name });
    const begun = (await cluster.triggers()).filter(({ what }) => what === "begin");
    assertEquals(begun.map(({ event }) => event), ["start", "failover", "resume"]);
    assertEquals(await cluster.breaches(), []);
    assert(writers.some(({ acknowledged }) => acknowledged.length > 0));
  },
);

testWithPrograms(
  "cluster: a leader that is cut off ends its trigger with all its processes before another one begins",
  ["etcd", "flock"],
  async () => {
    await using cluster = await ProxyCluster.start(2, LEASE);
    const { first, second, members, folder } = cluster;
    const leader = await cluster.leader();
    const other = members.find((each) => each !== leader)!;
    await folder.write("seconds-failover", "25");
    await first.kill();
    await cluster.triggered(({ event, what }) => event === "failover" && what === "begin");
    const watcher = await watcherOf(leader.proxy.pid);
    leader.cut();
    const { reason } = await leader.proxy.event("trigger.failed");
    // On a busy machine the watcher may be first: it kills at the end of the lease, whoever is late.
    const calledOff = "was called off: the lease of this proxy may have ended";
    assert(["was cancelled", calledOff].includes(reason as string), String(reason));
    // What it runs with its process group has ended as well.
    await hasEnded(watcher);
    await other.proxy.event("promotion.finished", { to: second.name, move: "resume" });
    const lines = await cluster.triggers();
    assertEquals(lines.filter(({ what }) => what === "overlap"), []);
    leader.heal();
    await leader.proxy.event("decision.followed", { to: second.name });
    assertEquals(await cluster.breaches(), []);
  },
);

testWithPrograms(
  "cluster: a trigger whose watcher was killed ends with an error, and not without a word",
  ["etcd", "flock"],
  async () => {
    await using cluster = await ProxyCluster.start(1, LEASE);
    const { first, second, folder } = cluster;
    const leader = await cluster.leader();
    await folder.write("seconds-failover", "25");
    await first.kill();
    await cluster.triggered(({ event, what }) => event === "failover" && what === "begin");
    Deno.kill(await watcherOf(leader.proxy.pid), "SIGKILL");
    // Nobody tells it that the lease was renewed.
    const { reason } = await leader.proxy.event("trigger.failed");
    assertEquals(reason, "was ended by SIGKILL");
    await leader.proxy.event("promotion.finished", { to: second.name });
  },
);

testWithPrograms(
  "cluster: a trigger that its guard has ended is not taken for one that failed, and runs again in a new epoch",
  ["etcd", "flock"],
  async () => {
    await using cluster = await ProxyCluster.start(1, {
      ...LEASE,
      "on-trigger-failure": "continue",
    });
    const { first, second, folder } = cluster;
    const { proxy } = await cluster.leader();
    await folder.write("seconds-failover", "60");
    await first.kill();
    await cluster.triggered(({ event, what }) => event === "failover" && what === "begin");
    const watcher = await watcherOf(proxy.pid);
    // Stopped, it cannot renew its lease, and its guard ends the trigger before etcd ends the lease.
    proxy.signal("SIGSTOP");
    await hasEnded(watcher);
    proxy.signal("SIGCONT");
    const { epoch } = await proxy.event("promotion.finished", { to: second.name, move: "resume" });
    const begun = (await cluster.triggers()).filter(({ what }) => what === "begin");
    assertEquals(begun.map(({ event }) => event), ["start", "failover", "resume"]);
    assertEquals(epoch, begun.at(-1)!.epoch);
    assertEquals(await cluster.breaches(), []);
  },
);
