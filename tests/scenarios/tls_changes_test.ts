/** HTTPS through reloads and upgrades of the real program. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Authority } from "../../src/linux/testing/authority.ts";
import { type TestTls, tlsTest } from "../gateway/certificate.ts";
import { untilGone } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startReloaded } from "../harness/reloaded.ts";
import { Upgradable } from "../harness/upgradable.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** The text of an answer to a new client of HTTPS. */
async function ask(port: number, caCerts: string[]): Promise<string> {
  using client = Deno.createHttpClient({ caCerts, poolMaxIdlePerHost: 0 });
  return await (await fetch(`https://localhost:${port}/`, { client })).text();
}

tlsTest(
  "a reload brings a certificate of another file, and refuses one that cannot be used",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    await using authority = await Authority.make();
    const other = await authority.certify({ names: ["localhost"] });
    const [cert, key] = [`${authority.folder}/new.crt`, `${authority.folder}/new.key`];
    await Deno.writeTextFile(cert, other.cert);
    await Deno.writeTextFile(key, other.key);
    const port = unusedPort();
    const of = (tls_cert: string, tls_key: string) => ({
      services: {
        web: {
          ...{ primary: primary.url, listen: `127.0.0.1:${port}`, relay: tls.relay },
          ...{ tls_cert, tls_key },
        },
      },
    });
    await using proxy = await startReloaded(of(tls.certPath, tls.keyPath));
    await proxy.event("promotion.finished");
    assertEquals(await ask(port, [tls.cert]), "primary");
    const refused = await proxy.reload(of(cert, tls.keyPath));
    assertEquals(refused.code === 0, false);
    assertMatch(`${refused.out}${refused.err}`, /does not belong to the certificate/);
    assertEquals(await ask(port, [tls.cert]), "primary");
    assertEquals((await proxy.reload(of(cert, key))).code, 0);
    // With Deno's TLS the listener is made anew, and a client may be refused at that moment.
    const asked = async () => {
      for (;;) {
        const text = await ask(port, [authority.cert]).catch(() => undefined);
        if (text !== undefined) return text;
      }
    };
    assertEquals(await withTestDeadline("the new certificate", asked()), "primary");
    assertEquals(proxy.events("proxy.faulted"), []);
  },
);

async function upgraded(tls: TestTls, redirect: number, port: number): Promise<void> {
  await using primary = await WebUpstream.start("primary");
  await using it = await Upgradable.start((more) => {
    const flags = {
      ...more,
      ...{ "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay },
      "redirect-http": String(redirect),
    };
    return startWebProxy({ primary, flags, listen: `127.0.0.1:${port}` });
  });
  const redirected = async () => {
    const answer = await fetch(`http://localhost:${redirect}/x`, { redirect: "manual" });
    await answer.body?.cancel();
    return answer.headers.get("location") ?? "";
  };
  for (let time = 0; time < 2; time++) {
    assertEquals(await ask(port, [tls.cert]), "primary");
    assertStringIncludes(await redirected(), `https://localhost:${port}/x`);
    const before = it.pids.at(-1);
    assertEquals((await it.upgrade()).status, 200);
    assertEquals(await ask(port, [tls.cert]), "primary");
    await untilGone([String(before)]);
    assertEquals(await ask(port, [tls.cert]), "primary");
    assertStringIncludes(await redirected(), `https://localhost:${port}/x`);
  }
}

if (Deno.build.os === "linux") {
  tlsTest(
    "HTTPS, and the port that leads there, go on through upgrades",
    (tls) => upgraded(tls, unusedPort(), unusedPort()),
    ["splice"],
  );
}
