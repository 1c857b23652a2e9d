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

Deno.test({
  name: "[splice] --workers 3 listens with three sockets on one port, and all of them fail over",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await using proxy = await startProxy({
      upstreams: [primary, backup],
      flags: { relay: "splice", workers: "3" },
    });
    // A client reaches one worker by chance: enough of them reach all three.
    const askAll = () => Promise.all(Array.from({ length: 30 }, () => proxy.ask()));
    const port = Number(proxy.address.split(":").at(-1));
    // The second and third listen as soon as they know the port that the first has got.
    for (let round = 0; listeners(port) < 3 && round < 100; round++) {
      assertEquals(new Set(await askAll()), new Set(["primary"]));
    }
    assertEquals(listeners(port), 3);
    await primary.kill();
    assertEquals(new Set(await askAll()), new Set(["backup"]));
  },
});
