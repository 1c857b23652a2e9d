/**
 * Redis with a replica, and `failover` in front with the two scripts of the README's recipe. The test
 * speaks Redis's inline commands, one line each, so it needs no client.
 */
import { assertEquals } from "@std/assert";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Redis, REDIS_NEEDS } from "../harness/redis.ts";
import { startProxy } from "../harness/proxy.ts";
import { copyScripts } from "../harness/readme.ts";
import { scenario } from "../harness/scenario.ts";
import type { LineConn } from "../harness/line_conn.ts";

async function command(conn: LineConn, text: string): Promise<string | undefined> {
  await conn.say(text);
  return (await withTestDeadline(`an answer to ${text}`, conn.line()))?.trimEnd();
}

scenario(
  "what Redis has replicated is kept when its master is killed, and writing continues",
  async (relay) => {
    await using folder = await Folder.make();
    await using control = await Control.make();
    await copyScripts(folder.path, "redis_check.sh", "redis_promote.sh");
    await using master = await Redis.make(folder.path);
    await using replica = await Redis.replica(folder.path, master);
    await using proxy = await startProxy({
      upstreams: [master, replica],
      flags: {
        ...relay,
        "check-host": folder.at("redis_check.sh"),
        "on-failover": folder.at("redis_promote.sh"),
        "control": control.path,
      },
    });
    // The replica remains a replica: the write below is still replicated to it.
    await proxy.event("upstream.up", { upstream: replica.name });
    const drill = await runCommand(["drill", "--run-triggers", "--control", control.path]);
    assertEquals(drill.code, 0, drill.out + drill.err);
    const before = await proxy.connect();
    assertEquals(await command(before, "SET story told"), "+OK");
    assertEquals(await command(before, "WAIT 1 30000"), ":1");
    before.close();

    await master.kill();
    await proxy.event("promotion.finished", { from: master.name, to: replica.name });

    const after = await proxy.connect();
    assertEquals(await command(after, "GET story"), "$4");
    assertEquals((await after.line())?.trimEnd(), "told");
    assertEquals(await command(after, "SET story continued"), "+OK");
    after.close();

    await master.start();
    await replica.kill();
    const round = await proxy.event("selection.failed", { message: /stale primary/ });
    assertEquals(round.reasons.map((each) => each.upstream), [master.name, replica.name]);
  },
  REDIS_NEEDS,
);

scenario(
  "a proxy that is started again does not choose a replica while the chosen master is up",
  async (relay) => {
    await using folder = await Folder.make();
    await copyScripts(folder.path, "redis_check.sh", "redis_promote.sh");
    await using master = await Redis.make(folder.path);
    await using replica = await Redis.replica(folder.path, master);
    const options = {
      upstreams: [replica, master],
      flags: {
        ...relay,
        "check-host": folder.at("redis_check.sh"),
        "on-failover": folder.at("redis_promote.sh"),
        "state-dir": folder.at("state"),
      },
    };
    {
      await using proxy = await startProxy(options);
      await proxy.event("promotion.finished");
      assertEquals(proxy.events("promotion.finished").map(({ to }) => to), [master.name]);
    }
    await master.kill();
    await using proxy = await startProxy(options);
    await proxy.event("promotion.finished", { from: master.name, to: replica.name });
  },
  REDIS_NEEDS,
);
