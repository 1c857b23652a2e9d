/** The server behind HTTP/2 may end when descriptors are short: clients of HTTP/2 are served again after that. */
import { assertEquals } from "@std/assert";
import { realClock, sleep } from "../../src/base/clock.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { webArgs, WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const MAIN = new URL("../harness/http2_ends_main.ts", import.meta.url).href;

tlsTest(
  "HTTP/2 is available again after its server has ended, and HTTP/1.1 was available all the time",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const port = unusedPort();
    const listen = `127.0.0.1:${port}`;
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath };
    await using proxy = new WebProxy(webArgs(listen, { primary, flags }), {}, listen, MAIN);
    await proxy.event("promotion.finished");
    const ask = async (http2: boolean) => {
      using client = Deno.createHttpClient({ caCerts: [tls.cert], http1: !http2, http2 });
      const response = await fetch(`https://localhost:${port}/`, { client });
      return `${response.status} ${await response.text()}`;
    };
    const askUntilAnswered = async () => {
      for (;;) {
        try {
          return await ask(true);
        } catch {
          await sleep(realClock, 10);
        }
      }
    };
    assertEquals(await ask(true), "200 primary");

    for (let time = 1; time <= 2; time++) {
      const since = proxy.log.length;
      proxy.signal("SIGWINCH");
      await withTestDeadline(
        "the end of the server",
        (async () => {
          while (!proxy.log.slice(since).includes("the server for HTTP/2 has ended")) {
            await sleep(realClock, 10);
          }
        })(),
      );
      assertEquals(await ask(false), "200 primary");
      assertEquals(await withTestDeadline("HTTP/2", askUntilAnswered()), "200 primary");
    }
    assertEquals(proxy.events("proxy.faulted"), []);
  },
);
