/** The process of the proxy is stopped for a while, as when its machine is paused. */
import { assertEquals } from "@std/assert";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";

/** Longer than the delays of a busy machine, and the check's own deadline. */
const STILL_MS = 4_000;

scenario("a deadline that passed while the proxy stood still is no silence", async (relay) => {
  let hold = false;
  let checks = 0;
  const held = Promise.withResolvers<ServerResponse>();
  const server = createServer((_, response) => {
    // The first ones began before the end of the promotion, so their results do not count.
    if (hold && ++checks === 3) held.resolve(response);
    else response.end("well");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await using proxy = await startWebProxy({
      primary: { url },
      flags: {
        ...relay,
        "fail-threshold": "1",
        "check-timeout": "2s",
        "check-interval": "10ms",
      },
    });
    hold = true;
    await withTestDeadline("a check to be under way", held.promise);
    proxy.signal("SIGSTOP");
    hold = false;
    await new Promise((resolve) => setTimeout(resolve, STILL_MS));
    proxy.signal("SIGCONT");

    await proxy.event("noVerdict.began", { reason: /^this process stood still for / });
    await proxy.event("noVerdict.ended");
    assertEquals(proxy.events("upstream.down"), []);
    assertEquals((await proxy.get("/")).status, 200);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
