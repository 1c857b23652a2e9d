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

/** The common name of the certificate that is served, and whether the session in this file was resumed. */
async function seen(port: number, session: string, how: "-sess_in" | "-sess_out") {
  const args = [
    "s_client",
    "-connect",
    `127.0.0.1:${port}`,
    "-servername",
    "localhost",
    "-ign_eof",
  ];
  const child = new Deno.Command("openssl", {
    args: [...args, how, session],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"));
  await writer.close();
  const text = new TextDecoder().decode((await child.output()).stdout);
  return { name: /subject=CN = (\S+)/.exec(text)?.[1], isResumed: /^Reused, /m.test(text), text };
}

tlsTest(
  "a volume whose link is replaced, as Kubernetes does it, is taken up by all threads, and sessions stay",
  async () => {
    await using primary = await WebUpstream.start("primary");
    await using authority = await Authority.make();
    const volume = `${authority.folder}/volume`;
    await Deno.mkdir(volume);
    /** Writes the files of one version, and makes it the one that is linked, by a single rename. */
    const publish = async (version: string, names: string[]) => {
      await Deno.mkdir(`${volume}/..${version}`);
      const { cert, key } = await authority.certify({ names });
      await Deno.writeTextFile(`${volume}/..${version}/tls.crt`, cert);
      await Deno.writeTextFile(`${volume}/..${version}/tls.key`, key);
      await Deno.symlink(`..${version}`, `${volume}/..next`);
      await Deno.rename(`${volume}/..next`, `${volume}/..data`);
    };
    await publish("one", ["localhost"]);
    for (const name of ["tls.crt", "tls.key"]) {
      await Deno.symlink(`..data/${name}`, `${volume}/${name}`);
    }
    await using proxy = await startWebProxy({
      primary,
      flags: { "tls-cert": volume, workers: "2" },
    });
    const port = Number(proxy.address.split(":")[1]);
    const session = `${authority.folder}/session.pem`;
    assertEquals((await seen(port, session, "-sess_out")).name, "localhost");
    await publish("two", ["renewed", "localhost"]);
    // Each thread serves some of these.
    const isTaken = async () => {
      for (let renewed = 0; renewed < 8;) {
        const { name } = await seen(port, `${session}.other`, "-sess_out");
        renewed = name === "renewed" ? renewed + 1 : 0;
      }
    };
    await withTestDeadline("the renewed certificate", isTaken(), proxy.lastLines);
    const { isResumed, text } = await seen(port, session, "-sess_in");
    assertEquals(isResumed, true, text);
    assertStringIncludes(text, "primary");
    assertEquals(proxy.events("port.closed"), []);
    assertEquals(await proxy.stop(), 0);
  },
  ["splice"],
);

async function upgraded(tls: TestTls, redirect: number, port: number): Promise<void> {
  await using primary = await WebUpstream.start("primary");
  await using it = await Upgradable.start((more) => {
    const flags = {
      ...more,
      ...{ "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay },
      "redirect-http": String(redirect),
      workers: "2",
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
