/** Two hundred services in one process: all of them start, serve, change, are taken over, fail over together, and stop. */
import { assertEquals } from "@std/assert";
import { ask, connectTo } from "../harness/client.ts";
import { runCommand } from "../harness/command.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const SERVICES = 200;
/** Their checks come at the same time, and the servers share the cores with this test. */
const CHECKS = "check_timeout: 20s";

scenario(`${SERVICES} services in one process fail over together`, async ({ relay }) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const binds = Array.from({ length: SERVICES }, () => `127.0.0.1:${unusedPort()}`);
  const services = binds.map((bind, index) =>
    `  s${index}: { bind: "${bind}", hosts: ["${primary.name}", "${backup.name}"] }`
  );
  const config = await folder.write(
    "failover.yaml",
    `relay: ${relay}\njson_logs: true\n${CHECKS}\nservices:\n${services.join("\n")}\n`,
  );
  await using proxy = new Proxy(["--config", config], {});
  const all = async (to: string) => {
    for (let i = 0; i < SERVICES; i++) {
      await proxy.event("promotion.finished", { service: `s${i}`, to });
    }
  };
  const answers = async () => new Set(await Promise.all(binds.map((bind) => ask(bind))));

  await all(primary.name);
  assertEquals(await answers(), new Set(["primary"]));

  await primary.kill();
  await all(backup.name);
  assertEquals(await answers(), new Set(["backup"]));

  assertEquals(await proxy.stop(), 0);
  assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
  assertEquals(proxy.events("service.died"), []);
});

if (Deno.build.os === "linux") {
  scenario(
    `${SERVICES} services change and come by a reload, and are taken over`,
    async ({ relay }) => {
      await using one = await startUpstream({ says: "one" });
      await using two = await startUpstream({ says: "two" });
      const binds = Array.from({ length: SERVICES }, () => `127.0.0.1:${unusedPort()}`);
      const half = binds.slice(0, SERVICES / 2);
      const textOf = (folder: Folder, binds: readonly string[], { name }: { name: string }) => {
        const services = binds.map((bind, at) =>
          `  s${at}: { bind: "${bind}", hosts: "${name}", sessions_on_move: keep }`
        );
        const state = `state_dir: "${folder.at("state")}"`;
        return `relay: ${relay}\njson_logs: true\n${CHECKS}\n${state}\nservices:\n${
          services.join("\n")
        }\n`;
      };
      await using it = await Upgradable.start(async ({ control }, folder) => {
        const config = await folder.write("failover.yaml", textOf(folder, half, one));
        return new Proxy(["--config", config, "--control", String(control)], {});
      });
      const { proxy, folder } = it;
      const reload = async (binds: readonly string[], upstream: { name: string }) => {
        await folder.write("failover.yaml", textOf(folder, binds, upstream));
        const { code, err } = await runCommand(["reload", "--control", it.control.path]);
        assertEquals(code, 0, err);
      };
      const all = async (binds: readonly string[], to: { name: string }) => {
        for (const at of binds.keys()) {
          await proxy.event("promotion.finished", { service: `s${at}`, to: to.name });
        }
      };
      const answers = async (binds: readonly string[]) =>
        new Set(await Promise.all(binds.map((bind) => ask(bind, "who", proxy.lastLines))));
      await all(half, one);
      const sessions = await Promise.all(half.map(connectTo));
      const asked = async () => {
        for (const session of sessions) await session.say("who");
        return new Set(
          await Promise.all(
            sessions.map((session) =>
              withTestDeadline("an answer in a session", session.line(), proxy.lastLines)
            ),
          ),
        );
      };
      assertEquals(await asked(), new Set(["one"]));

      await reload(binds, two);

      await all(binds, two);
      assertEquals([await answers(binds), await asked()], [new Set(["two"]), new Set(["one"])]);

      const { status, lines } = await it.upgrade();

      assertEquals([status, lines], [200, []]);
      assertEquals([await answers(binds), await asked()], [new Set(["two"]), new Set(["one"])]);
      const { services } = await (await it.control.get("state")).json();
      assertEquals(services.length, SERVICES);

      await reload(half, two);

      assertEquals([await answers(half), await asked()], [new Set(["two"]), new Set(["one"])]);
      for (const session of sessions) session.close();
      assertEquals(proxy.events("service.died"), []);
      assertEquals(proxy.events("upstream.down"), []);
      assertEquals(proxy.events("promotion.finished").length, SERVICES + half.length);
    },
  );
}
