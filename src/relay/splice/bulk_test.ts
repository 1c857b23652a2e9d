/** How bytes are moved, on the real kernel: the relay runs in this thread so that its calls can be counted. */
import { assert, assertEquals } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { Libc } from "../../linux/libc.ts";
import { Loop } from "../../linux/loop.ts";
import { endpointOf, ipSockaddr } from "../../linux/sockaddr.ts";
import { EmbeddedLoop } from "../../net/linux/embedded_loop.ts";
import { SETTINGS, TestUpstream, writeAll } from "../testing/relay_fixture.ts";
import { relayIn } from "./testing/splice_fixture.ts";

class CountingLibc extends Libc {
  received = 0;
  spliced = 0;
  port = 0;

  override receive(fd: number): number {
    const count = super.receive(fd);
    if (count > 0) this.received += count;
    return count;
  }

  override splice(from: number, to: number, count: number): number {
    const moved = super.splice(from, to, count);
    if (moved > 0) this.spliced += moved;
    return moved;
  }

  override listen(...given: Parameters<Libc["listen"]>): number {
    const fd = super.listen(...given);
    const endpoint = endpointOf(this.localAddress(fd));
    if (endpoint.kind === "ip") this.port = endpoint.port;
    return fd;
  }
}

Deno.test({
  name: "bulk bytes do not enter the process: all but the first few reads are spliced",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const total = 64 * 1_048_576;
    await using upstream = new TestUpstream("a", async (conn) => {
      await writeAll(conn, new Uint8Array(total));
    });
    const { address } = upstream.upstream;
    assert(address.kind === "tcp");
    using libc = new CountingLibc();
    const relay = relayIn(new Loop(libc), SETTINGS, () => {});
    const listener = libc.listen(ipSockaddr("127.0.0.1", 0)!, { backlog: 8, userTimeoutMs: 0 });
    relay.execute({ do: "listen", listener });
    const addresses = [ipSockaddr("127.0.0.1", address.port)!];
    relay.execute({ do: "open", upstream: "a", epoch: 1, addresses });

    const embedded = new EmbeddedLoop(relay.loop, libc, realClock);
    using client = await Deno.connect({ hostname: "127.0.0.1", port: libc.port });
    let seen = 0;
    const buffer = new Uint8Array(1_048_576);
    for (let n = await client.read(buffer); n !== null; n = await client.read(buffer)) seen += n;
    await embedded.stop();

    assertEquals(seen, total);
    assert(libc.received < total / 100, `${libc.received} bytes were read`);
    assertEquals(libc.received + libc.spliced / 2, total); // spliced bytes are moved twice
    relay.execute({ do: "stop", drainMs: 0 });
    relay.execute({ do: "cutAll" });
    libc.close(listener);
  },
});
