/** Memory that a proxy needs only for its start is given back. */
import { assertEquals } from "@std/assert";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { TEST_DEADLINE_MS } from "../harness/test_deadline.ts";
import { startUpstream } from "../harness/upstream.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const LOOK_MS = 100;
/** Code and constants of the program are nearly half of what the start needs. */
const LEFT_MAX = 0.85;

const ignore = Deno.build.os !== "linux";

/** Waits until the process holds clearly less memory than its peak. */
async function givesBack({ pid, lastLines }: Proxy): Promise<void> {
  const kb = (status: string, field: string) =>
    Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]);
  for (let leftMs = TEST_DEADLINE_MS; leftMs > 0; leftMs -= LOOK_MS) {
    const status = await Deno.readTextFile(`/proc/${pid}/status`);
    if (kb(status, "VmRSS") < LEFT_MAX * kb(status, "VmHWM")) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(`the memory of the start is still held\n${lastLines()}`);
}

Deno.test({
  name: "[splice] a TCP service releases the memory that only its start needed",
  ignore,
  async fn() {
    await using primary = await startUpstream({ says: "primary" });
    await using proxy = await startProxy({ upstreams: [primary], flags: { relay: "splice" } });
    await givesBack(proxy);
    assertEquals(await proxy.stop(), 0);
  },
});

Deno.test({
  name: "[splice] an HTTP service releases the memory that only its start needed",
  ignore,
  async fn() {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({ primary, flags: { relay: "splice" } });
    await givesBack(proxy);
    assertEquals(await (await fetch(`http://${proxy.address}/`)).text(), "primary");
    assertEquals(await proxy.stop(), 0);
  },
});
