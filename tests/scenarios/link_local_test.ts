/** Link-local addresses of IPv6 (RFC 4007), which need the name of an interface: `fe80::1%eth0`. */
import { assertEquals } from "@std/assert";
import { Folder } from "../harness/folder.ts";
import { LINK_LOCAL, mayMakeNetworks, Network } from "../harness/network.ts";
import { startProxy } from "../harness/proxy.ts";
import { ENGINES } from "../harness/scenario.ts";
import { startUpstream, type UpstreamProcess } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const ignore = !mayMakeNetworks();

/** An upstream in that network, by its link-local address. */
const linkLocal = ({ name }: UpstreamProcess) => ({
  name: name.replace("[::]", `[${LINK_LOCAL}]`),
});

for (const relay of ENGINES) {
  Deno.test({
    name:
      `[${relay}] upstreams at link-local addresses fail over, and are reached over a replaced interface`,
    ignore,
    async fn() {
      await using network = await Network.make();
      await using folder = await Folder.make();
      const under = network.command;
      const start = (says: string) => {
        const listen = { transport: "tcp", hostname: "::", port: unusedPort() } as const;
        return startUpstream({ says, listen }, under);
      };
      await using primary = await start("primary");
      await using backup = await start("backup");
      const upstreams = [linkLocal(primary), linkLocal(backup)];
      const bind = `unix:${folder.at("front")}`;
      const flags = { relay };
      await using proxy = await startProxy({ upstreams, flags, bind, under });
      assertEquals(await proxy.ask(), "primary");

      await primary.kill();
      assertEquals(await proxy.ask(), "backup");
      const moved = await proxy.event("promotion.finished", { to: upstreams[1]!.name });
      await primary.restart();
      await proxy.event("upstream.up", { upstream: upstreams[0]!.name }, moved);
      await backup.kill();
      assertEquals(await proxy.ask(), "primary");

      await proxy.event("promotion.finished", { to: upstreams[0]!.name }, moved);
      await network.renew();
      assertEquals(await proxy.ask(), "primary");
    },
  });
}
