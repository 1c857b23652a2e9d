/** Processes that cannot use the system's OpenSSL, or do not need it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { Folder } from "../harness/folder.ts";
import { runProxy, startProxy } from "../harness/proxy.ts";
import { startUpstream } from "../harness/upstream.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** The files of shared libraries that a process has loaded. */
const librariesOf = (pid: number) => Deno.readTextFileSync(`/proc/${pid}/maps`);

tlsTest(
  "without a libssl that can be used HTTPS is that of Deno, and what only OpenSSL can do is refused",
  async (tls) => {
    await using folder = await Folder.make();
    // The system's loader finds this one first.
    await folder.write("libssl.so.3", "");
    const env = { LD_LIBRARY_PATH: folder.at(".") };
    const why = /OpenSSL 3 cannot be opened: \S+libssl\.so\.3: file too short/;
    await using primary = await WebUpstream.start("primary");
    const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath };
    await using proxy = await startWebProxy({ primary, flags, env });
    const chosen = proxy.events("sockets.chosen");
    assertEquals(chosen.map(({ sockets }) => sockets), ["deno"]);
    assertMatch(String(chosen[0]!.message), why);
    using client = Deno.createHttpClient({ caCerts: [tls.cert] });
    const answer = await fetch(`https://localhost:${proxy.address.split(":")[1]}/`, { client });
    assertEquals(await answer.text(), "primary");
    assertEquals(await proxy.stop(), 0);

    const listen = `127.0.0.1:${unusedPort()}`;
    const args = ["--primary", "http://127.0.0.1:1", "--listen", listen];
    const https = ["--tls-cert", tls.certPath, "--tls-key", tls.keyPath];
    const other = [await folder.write("b.crt", tls.cert), await folder.write("b.key", tls.key)];
    const many = [
      ...["--tls-cert", `${tls.certPath},${other[0]}`, "--tls-key", `${tls.keyPath},${other[1]}`],
    ];
    for (
      const [more, words] of [
        [[...https, "--client-ca", tls.certPath], /^failover: Cannot use client_ca: /],
        [
          [...https, "--upstream-cert", tls.certPath, "--upstream-key", tls.keyPath],
          /Cannot use upstream_cert: /,
        ],
        [many, /Cannot use several certificates: /],
        [[...https, "--relay", "splice"], /Cannot use the relay engine splice: /],
      ] as const
    ) {
      const { code, stderr } = await runProxy([...args, ...more], env);
      assertEquals([code, stderr.length], [2, 1], stderr.join("\n"));
      assertMatch(stderr[0]!, words);
      assertMatch(stderr[0]!, why);
    }
  },
  ["splice"],
);

tlsTest("libssl is loaded by processes that speak TLS, and by no other", async (tls) => {
  await using web = await WebUpstream.start("primary");
  await using upstream = await startUpstream({ says: "primary" });
  await using tcp = await startProxy({ upstreams: [upstream], flags: { relay: "splice" } });
  await using http = await startWebProxy({ primary: web, flags: { relay: "splice" } });
  const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath };
  await using https = await startWebProxy({ primary: web, flags });
  const has = [tcp, http, https].map(({ pid }) => librariesOf(pid).includes("libssl"));
  assertEquals(has, [false, false, true]);
  for (const { pid } of [tcp, http]) assert(!librariesOf(pid).includes("libcrypto"));
}, ["splice"]);
