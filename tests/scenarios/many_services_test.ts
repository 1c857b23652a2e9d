/** Two hundred services in one process: all of them start, serve, fail over at the same moment, and stop. */
import { assertEquals } from "@std/assert";
import { ask } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const SERVICES = 200;

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
    `relay: ${relay}\njson_logs: true\nservices:\n${services.join("\n")}\n`,
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
