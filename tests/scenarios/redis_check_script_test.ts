/** Redis with both checks, `--check redis` and a program: an upstream is used if both agree, and only then. */
import { assertEquals, assertMatch } from "@std/assert";
import { Control } from "../harness/control.ts";
import { Folder } from "../harness/folder.ts";
import { type Flags, startProxy } from "../harness/proxy.ts";
import { Redis, REDIS_NEEDS } from "../harness/redis.ts";
import { scenario } from "../harness/scenario.ts";

/** A master, its replica, a check program that refuses what a file `refuse-HOST:PORT` names, and the proxy. */
async function pair(relay: Flags) {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await Folder.make());
  const control = stack.use(await Control.make());
  const master = stack.use(await Redis.make(folder.path));
  const replica = stack.use(await Redis.replica(folder.path, master));
  const check = await folder.script(
    "check",
    `echo "$1" >>asked
if [ -e "refuse-$1" ]; then echo "the operator's program refuses $1"; exit 1; fi`,
  );
  const proxy = stack.use(
    await startProxy({
      upstreams: [master, replica],
      flags: {
        ...{ check: "redis", promote: "on", "check-host": check, control: control.path },
        ...relay,
      },
    }),
  );
  await proxy.event("promotion.finished", { move: "start", to: master.name });
  await proxy.event("server.roleChanged", { upstream: replica.name, role: "standby" });
  const owned = stack.move();
  const refuse = (server: Redis) => folder.write(`refuse-${server.name}`, "");
  const allow = (server: Redis) => Deno.remove(folder.at(`refuse-${server.name}`));
  const upstreamOf = async ({ name }: Redis) => {
    const { upstreams } = await (await control.get("state")).json();
    return upstreams.find((each: { name: string }) => each.name === name);
  };
  return {
    ...{ folder, control, master, replica, proxy, refuse, allow, upstreamOf },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

scenario(
  "the program's refusal wins over a healthy primary, and its replica is promoted",
  async (relay) => {
    await using scene = await pair(relay);
    const { folder, master, replica, proxy, refuse, allow, upstreamOf } = scene;
    await folder.reads(
      "asked",
      (text) => text.includes(master.name) && text.includes(replica.name),
    );

    await refuse(master);

    await proxy.event("upstream.down", { upstream: master.name, reason: /refuses|exit code 1/ });
    await proxy.event("server.promoted", { upstream: replica.name });
    await proxy.event("promotion.finished", { move: "failover", to: replica.name });
    assertMatch(await replica.command("set", "key", "two"), /OK/);
    // The server itself is well, and says so.
    const refused = await upstreamOf(master);
    assertEquals([refused.verdict, refused.active], ["down", false]);

    // The program's consent does not make it the primary again.
    await allow(master);

    await proxy.event("upstream.barred", { upstream: master.name, kind: "stale" });
    const barred = await upstreamOf(master);
    assertEquals([barred.verdict, barred.barred.kind, barred.server.role], [
      "up",
      "stale",
      "primary",
    ]);
    assertEquals((await upstreamOf(replica)).active, true);
    assertEquals(proxy.events("server.promoted").length, 1);
  },
  REDIS_NEEDS,
);

scenario(
  "a replica that the program refuses is not promoted, however lost the primary is",
  async (relay) => {
    await using scene = await pair(relay);
    const { master, replica, proxy, refuse, allow } = scene;
    await refuse(replica);
    await proxy.event("upstream.down", { upstream: replica.name, reason: /refuses|exit code 1/ });

    await master.kill();

    const failed = await proxy.event("selection.failed", { message: /refuses|exit code 1/ });
    assertMatch(failed.message, new RegExp(master.name));
    assertEquals(proxy.events("server.promoted"), []);

    await allow(replica);

    await proxy.event("server.promoted", { upstream: replica.name });
    await proxy.event("promotion.finished", { move: "failover", to: replica.name });
    assertMatch(await replica.command("set", "key", "two"), /OK/);
  },
  REDIS_NEEDS,
);

scenario(
  "the program's consent keeps no server up that does not answer Redis",
  async (relay) => {
    await using scene = await pair(relay);
    const { folder, master, replica, proxy } = scene;
    await master.kill();

    await proxy.event("promotion.finished", { move: "failover", to: replica.name });

    // Nobody asks the program about a server that is down already.
    // A program that was started before may be late.
    const count = (text: string) => text.trim().split("\n").length;
    const before = count(await folder.read("asked"));
    await folder.reads("asked", (text) => count(text) > before + 3);
    const asked = (await folder.read("asked")).trim().split("\n");
    const last = asked.lastIndexOf(master.name);
    await folder.reads("asked", (text) => count(text) > asked.length + 3);
    const later = (await folder.read("asked")).trim().split("\n");
    assertEquals(later.lastIndexOf(master.name), last);
  },
  REDIS_NEEDS,
);
