/** Several threads on one port. */
import { assertEquals } from "@std/assert";
import { startProxy } from "../harness/proxy.ts";
import { startUpstream } from "../harness/upstream.ts";

/** How many listening sockets of this system have that port (proc_net_tcp(5): state 0A). */
function listeners(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const lines = Deno.readTextFileSync("/proc/net/tcp").split("\n");
  return lines.filter((line) => new RegExp(`^\\s*\\d+: \\w+:${hex} \\w+:0000 0A `).test(line))
    .length;
}

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "[splice] --workers 3 shares one listening socket, and all of them fail over",
  ignore,
  async fn() {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { relay: "splice", workers: "3" },
    });
    const askAll = () => Promise.all(Array.from({ length: 30 }, () => proxy.ask()));
    assertEquals(new Set(await askAll()), new Set(["primary"]));
    assertEquals(listeners(Number(proxy.address.split(":").at(-1))), 1);
    await primary.kill();
    assertEquals(new Set(await askAll()), new Set(["backup"]));
  },
});
