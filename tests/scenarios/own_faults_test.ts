/** A bug of the proxy ends only the part in which it happened. */
import { assertEquals } from "@std/assert";
import { ask, connectTo } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const FAULTY = new URL("../harness/faulty_main.ts", import.meta.url).href;

scenario("a bug in one service ends its sessions, and it is started again", async ({ relay }) => {
  await using folder = await Folder.make();
  await using first = await startUpstream({ says: "first" });
  await using second = await startUpstream({ says: "second" });
  const [a, b] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
  const config = await folder.write(
    "failover.yaml",
    `relay: ${relay}
check_interval: 50ms
check_timeout: 5s
services:
  a: { bind: "${a}", hosts: ["${first.name}"] }
  b: { bind: "${b}", hosts: ["${second.name}"] }
`,
  );
  const env = { FAULT_FILE: `${folder.path}/fault` };
  await using proxy = new Proxy(["--config", config, "--json-logs"], env, "", FAULTY);
  await proxy.event("port.opened", { service: "a" });
  await proxy.event("port.opened", { service: "b" });
  const session = await connectTo(b);
  await session.say("who");
  assertEquals(await session.line(), "second");

  await folder.write("fault", first.name);
  const died = await proxy.event("service.died", {
    service: "a",
    reason: /a bug made by the test/,
  });
  // It remembers which upstream served, so nothing is promoted again.
  await proxy.event("service.continued", { service: "a", upstream: first.name }, died);
  await proxy.event("port.opened", { service: "a" }, died);
  assertEquals(await ask(a), "first");
  await folder.write("fault", "stray");
  await proxy.event("proxy.faulted", { reason: /a stray bug made by the test/ });

  await session.say("who");
  assertEquals(await session.line(), "second");
  session.close();
  assertEquals(proxy.events("service.died").length, 1);
  assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
  assertEquals(await proxy.stop(), 0);
});
