/**
 * Redis with a replica, and `failover` in front with the two scripts of the README's recipe. The test
 * speaks Redis's inline commands, one line each, so it needs no client.
 */
import { assertEquals } from "@std/assert";
import { Child } from "../harness/child.ts";
import { runCommand } from "../harness/command.ts";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startProxy } from "../harness/proxy.ts";
import { copyScripts } from "../harness/readme.ts";
import { scenario } from "../harness/scenario.ts";
import { type Named } from "../harness/upstream.ts";
import type { LineConn } from "../harness/line_conn.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** A Redis server that keeps nothing on disk; resolves when it takes connections. */
async function startRedis(dir: string, port: number, more: readonly string[] = []): Promise<Child> {
  const quick = ["--save", "", "--repl-diskless-sync-delay", "0"];
  const ready = Promise.withResolvers<void>();
  const log: string[] = [];
  const child = new Child("redis-server", {
    args: ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir, ...quick, ...more],
    onOut: (line) => {
      log.push(line);
      if (line.includes("Ready to accept connections")) ready.resolve();
    },
  });
  await withTestDeadline("redis to be ready", ready.promise, () => log.join("\n"));
  return child;
}

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
    const [port, replicaPort] = [unusedPort(), unusedPort()];
    const master: Named = { name: `127.0.0.1:${port}` };
    const replica: Named = { name: `127.0.0.1:${replicaPort}` };
    await using first = await startRedis(folder.path, port);
    await using second = await startRedis(folder.path, replicaPort, [
      ...["--replicaof", "127.0.0.1", String(port)],
    ]);
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

    await first.kill();
    await proxy.event("promotion.finished", { from: master.name, to: replica.name });

    const after = await proxy.connect();
    assertEquals(await command(after, "GET story"), "$4");
    assertEquals((await after.line())?.trimEnd(), "told");
    assertEquals(await command(after, "SET story continued"), "+OK");
    after.close();

    await using _returned = await startRedis(folder.path, port);
    await second.kill();
    const round = await proxy.event("selection.failed", { message: /stale primary/ });
    assertEquals(round.reasons.map((each) => each.upstream), [master.name, replica.name]);
  },
  ["redis-server", "redis-cli"],
);

scenario(
  "a proxy that is started again does not choose a replica while the chosen master is up",
  async (relay) => {
    await using folder = await Folder.make();
    await copyScripts(folder.path, "redis_check.sh", "redis_promote.sh");
    const [port, masterPort] = [unusedPort(), unusedPort()];
    const replica: Named = { name: `127.0.0.1:${port}` };
    const master: Named = { name: `127.0.0.1:${masterPort}` };
    await using chosen = await startRedis(folder.path, masterPort);
    await using _rejoined = await startRedis(folder.path, port, [
      ...["--replicaof", "127.0.0.1", String(masterPort)],
    ]);
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
    await chosen.kill();
    await using proxy = await startProxy(options);
    await proxy.event("promotion.finished", { from: master.name, to: replica.name });
  },
  ["redis-server", "redis-cli"],
);
