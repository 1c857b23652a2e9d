/** The options of TLS on the real program, with the clients that everybody has: openssl and curl. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Authority } from "../../src/linux/testing/authority.ts";
import { certify, demandingUpstream, opensslScenario } from "../harness/certified.ts";
import { runProxy } from "../harness/proxy.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { untilCounted } from "../harness/metrics.ts";

const portOf = (proxy: WebProxy) => Number(proxy.address.split(":")[1]);

async function output(program: string, args: readonly string[], input = ""): Promise<string> {
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).catch(() => {});
  await writer.close().catch(() => {});
  const { stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return text.decode(stdout) + text.decode(stderr);
}

/** What curl prints for a request to this host, which is sent to the proxy. */
function curl(proxy: WebProxy, host: string, ca: string, ...more: string[]): Promise<string> {
  const port = portOf(proxy);
  const args = ["-sS", "--max-time", "20", "--cacert", ca];
  const to = ["--connect-to", `${host}:${port}:127.0.0.1:${port}`, `https://${host}:${port}/`];
  return output("curl", [...args, ...to, ...more]);
}

/** The first host name in the certificate that a client gets who asks for `host`. */
async function certificateFor(proxy: WebProxy, host: string): Promise<string> {
  const args = ["s_client", "-connect", proxy.address, "-servername", host];
  return /subject=CN = (\S+)/.exec(await output("openssl", args))?.[1] ?? "none";
}

opensslScenario(
  "certificates of files and folders are chosen by name, and changed ones are taken up while clients stay",
  async (authority, folder) => {
    await using primary = await WebUpstream.start("primary");
    const one = await certify(folder, authority, "one", ["one.test"]);
    await Deno.mkdir(folder.at("more"));
    const more = folder.at("more");
    for (const name of ["two", "three"]) {
      const pair = await authority.certify({ names: [`${name}.test`, `*.${name}.test`] });
      await folder.write(`more/${name}.pem`, pair.cert);
      await folder.write(`more/${name}.key`, pair.key);
    }
    const flags = { "tls-cert": `${one.cert},${more}`, "tls-key": one.key, workers: "2" };
    await using proxy = await startWebProxy({ primary, flags });
    await proxy.event("sockets.chosen", { sockets: "linux" });
    const ca = folder.at("ca.pem");
    for (const host of ["one.test", "two.test", "a.three.test"]) {
      assertEquals(await curl(proxy, host, ca), "primary");
      assertEquals(await curl(proxy, host, ca, "--http1.1", "--tls-max", "1.2"), "primary");
    }
    assertMatch(await curl(proxy, "other.test", ca), /no alternative certificate subject name/);
    assertEquals(await certificateFor(proxy, "other.test"), "one.test");

    // Each of these is served by one of two threads, and both take the new certificate up.
    using kept = await Deno.connectTls({
      hostname: "127.0.0.1",
      port: portOf(proxy),
      caCerts: [authority.cert],
      unsafelyDisableHostnameVerification: true,
    });
    await kept.handshake();
    await folder.write("more/two.pem", "half a certifi");
    const warned = await proxy.event("config.warned", { message: /old certificates stay in use/ });
    assertStringIncludes(JSON.stringify(warned), "two.pem");
    assertEquals(await certificateFor(proxy, "two.test"), "two.test");
    const next = await authority.certify({ names: ["renewed.test", "two.test"] });
    await folder.write("more/two.pem", next.cert);
    await folder.write("more/two.key", next.key);
    const since = Date.now();
    while (await certificateFor(proxy, "two.test") !== "renewed.test") {
      assert(Date.now() - since < 30_000, "the new certificate is not served");
    }
    await kept.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assertEquals(await kept.read(new Uint8Array(1_000)) !== null, true);
  },
);

opensslScenario(
  "--client-ca serves clients that have a certificate of the authority, and no other",
  async (authority, folder) => {
    await using primary = await WebUpstream.start("primary");
    await using others = await Authority.make("Another");
    const { cert, key } = await certify(folder, authority, "server", ["one.test"]);
    const client = await certify(folder, others, "client", ["a client"]);
    const late = await certify(folder, others, "late", ["a client"], -1);
    const stranger = await certify(folder, authority, "stranger", ["a client"]);
    const clientCa = await folder.write("clients.pem", others.cert);
    const flags = { "tls-cert": cert, "tls-key": key, "client-ca": clientCa };
    await using proxy = await startWebProxy({ primary, flags });
    const ca = folder.at("ca.pem");
    const ask = (pair?: { cert: string; key: string }) =>
      curl(
        proxy,
        "one.test",
        ca,
        ...pair === undefined ? [] : ["--cert", pair.cert, "--key", pair.key],
      );
    assertEquals(await ask(client), "primary");
    assertMatch(await ask(), /certificate required|alert/);
    assertMatch(await ask(late), /alert/);
    assertMatch(await ask(stranger), /alert/);
    await proxy.event("handshake.failed", { message: /peer did not return a certificate/ });
    await proxy.event("handshake.failed", { message: /certificate has expired/ });
    assertEquals(await ask(client), "primary");
    const scrape = () =>
      output("curl", [
        ...["-sS", "--cacert", ca, "--cert", client.cert, "--key", client.key],
        ...["--connect-to", `one.test:${portOf(proxy)}:${proxy.address}`],
        `https://one.test:${portOf(proxy)}/__failover/metrics`,
      ]);
    await untilCounted(scrape, /failover_tls_handshakes_failed_total\{[^}]*\} 3\b/);
  },
);

opensslScenario(
  "--upstream-cert is shown to upstreams that ask for one, by requests and by checks",
  async (authority, folder) => {
    await using primary = await demandingUpstream(authority, "localhost", authority.cert);
    const { cert, key } = await certify(folder, authority, "client", ["a proxy"]);
    const trust = { "ca-file": folder.at("ca.pem") };
    const flags = { ...trust, "upstream-cert": cert, "upstream-key": key };
    await using proxy = await startWebProxy({ primary, flags });
    await proxy.event("sockets.chosen", { sockets: "linux" });
    assertEquals((await proxy.get("/")).text, "authorized: true");
    await using without = await startWebProxy({ primary, flags: trust }, "selection.failed");
    await without.event("selection.failed", {
      message: /: the peer refused: certificate required/,
    });
  },
);

opensslScenario(
  "what is wrong with the certificate of an upstream is in the line that says that it is down",
  async (authority, folder) => {
    const ca = folder.at("ca.pem");
    const cases: [string[], number, RegExp][] = [
      [["localhost"], -1, /TLS handshake failed: certificate has expired/],
      [["other.test"], 30, /TLS handshake failed: hostname mismatch/],
    ];
    for (const [names, days, words] of cases) {
      const { cert, key } = await authority.certify({ names, days });
      await using upstream = Deno.serve(
        { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
        () => new Response("up"),
      );
      const primary = { url: `https://localhost:${upstream.addr.port}` };
      await using proxy = await startWebProxy(
        { primary, flags: { "ca-file": ca } },
        "selection.failed",
      );
      await proxy.event("selection.failed", { message: words });
    }
  },
);

opensslScenario(
  "sessions are resumed, also by another thread and over TLS 1.2",
  async (authority, folder) => {
    await using primary = await WebUpstream.start("primary");
    const { cert, key } = await certify(folder, authority, "server", ["one.test"]);
    const flags = { "tls-cert": cert, "tls-key": key, workers: "2" };
    await using proxy = await startWebProxy({ primary, flags });
    const session = folder.at("session.pem");
    for (const version of ["-tls1_3", "-tls1_2"]) {
      const args = ["s_client", "-connect", proxy.address, "-servername", "one.test", version];
      const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
      const first = await output("openssl", [...args, "-ign_eof", "-sess_out", session], request);
      assertMatch(first, /^New, TLSv1\.\d/m);
      for (let time = 0; time < 4; time++) {
        const again = await output("openssl", [...args, "-ign_eof", "-sess_in", session], request);
        assertMatch(again, /^Reused, TLSv1\.\d/m);
        assertStringIncludes(again, "primary");
      }
    }
    const older = ["s_client", "-connect", proxy.address, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    assertMatch(await output("openssl", older), /alert protocol version/);
    // Renegotiation is refused, and the connection goes on or ends without harm to others.
    const renegotiating = ["s_client", "-connect", proxy.address, "-tls1_2"];
    const refused = await output("openssl", renegotiating, "R\nGET / HTTP/1.0\r\n\r\n");
    assertMatch(refused, /no renegotiation|handshake failure|alert/);
  },
);

opensslScenario(
  "files that do not belong together are refused before anything starts",
  async (authority, folder) => {
    const one = await certify(folder, authority, "one", ["one.test"]);
    const two = await certify(folder, authority, "two", ["two.test"]);
    await Deno.mkdir(folder.at("empty"));
    await Deno.mkdir(folder.at("mixed"));
    await Deno.copyFile(one.cert, folder.at("mixed/a.crt"));
    await Deno.copyFile(two.key, folder.at("mixed/a.key"));
    const args = ["--primary", "http://127.0.0.1:1", "--listen", `127.0.0.1:${unusedPort()}`];
    const refusal = async (...more: string[]) => {
      const run = await runProxy([...args, ...more]);
      assertEquals([run.code, run.stderr.length], [2, 1], run.stderr.join("\n"));
      return run.stderr[0]!;
    };
    assertMatch(
      await refusal("--tls-cert", one.cert, "--tls-key", two.key),
      /two\.key" as tls_key: it does not belong to the certificate/,
    );
    assertMatch(
      await refusal("--tls-cert", `${one.cert},${two.cert}`, "--tls-key", one.key),
      /two\.crt" as tls_cert: there is no tls_key for it/,
    );
    assertMatch(
      await refusal("--tls-cert", folder.at("empty")),
      /empty" as tls_cert: it holds no certificate with its key/,
    );
    assertMatch(
      await refusal("--tls-cert", folder.at("mixed")),
      /mixed\/a\.key" as tls_cert: it does not belong .*\(from flag --tls-cert\)$/,
    );
    const both = ["--tls-cert", one.cert, "--tls-key", one.key];
    assertMatch(
      await refusal(...both, "--client-ca", one.key),
      /one\.key" as client_ca: .*no certificate/,
    );
    assertMatch(
      await refusal(...both, "--client-ca", one.cert, "--relay", "stream"),
      /Cannot use client_ca: the sockets of Deno cannot do that/,
    );
    assertMatch(
      await refusal("--upstream-cert", one.cert, "--upstream-key", two.key),
      /two\.key" as upstream_key: it does not belong/,
    );
  },
);

tlsTest(
  "--redirect-http sends clients of HTTP to HTTPS, and --hsts tells those of HTTPS to stay",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    const port = unusedPort();
    const hsts = "max-age=31536000; includeSubDomains";
    const flags = {
      "tls-cert": tls.certPath,
      "tls-key": tls.keyPath,
      relay: tls.relay,
      "redirect-http": String(port),
      hsts,
    };
    await using proxy = await startWebProxy({ primary, backups: ["page:" + tls.certPath], flags });
    await proxy.event("port.opened", { address: `127.0.0.1:${port}` });
    const httpsPort = portOf(proxy);
    const plain = await output("curl", ["-sSi", "-d", "x", `http://localhost:${port}/a?b=c`]);
    assertMatch(plain, /^HTTP\/1\.1 308 /);
    assertStringIncludes(plain, `location: https://localhost:${httpsPort}/a?b=c`);
    assert(!/strict-transport/i.test(plain));
    const followed = ["-sSL", "--cacert", tls.certPath, `http://localhost:${port}/`];
    assertEquals(await output("curl", followed), "primary");
    const over = (...more: string[]) =>
      output("curl", [
        "-sSi",
        "--cacert",
        tls.certPath,
        ...more,
        `https://localhost:${httpsPort}/`,
      ]);
    for (const version of ["--http1.1", "--http2"]) {
      assertMatch(
        await over(version),
        /^strict-transport-security: max-age=31536000; includeSubDomains\r$/im,
      );
    }
    await primary.kill();
    // The page of the backup, too.
    await proxy.event("promotion.finished", { to: /page:/ });
    assertStringIncludes(await over(), hsts);
    assertEquals(await proxy.stop(), 0);
  },
);

opensslScenario("what only HTTPS can do is refused without it", async () => {
  const args = ["--primary", "http://127.0.0.1:1", "--listen", `127.0.0.1:${unusedPort()}`];
  for (const [flag, value] of [["redirect-http", "80"], ["hsts", "max-age=1"]]) {
    const run = await runProxy([...args, `--${flag}`, value!]);
    const name = flag!.replace("-", "_");
    assertEquals(run.code, 2);
    assertStringIncludes(run.stderr.join(), `Cannot use ${name} without tls_cert`);
  }
});

opensslScenario(
  "a response of an upstream that ends without close_notify was cut, and its client sees that",
  async (authority, folder) => {
    const { cert, key } = await certify(folder, authority, "up", ["localhost"]);
    const port = unusedPort();
    const server = new Deno.Command("openssl", {
      args: [
        "s_server",
        "-quiet",
        "-naccept",
        "1000",
        "-accept",
        `127.0.0.1:${port}`,
        "-cert",
        cert,
        "-key",
        key,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const said = server.stdin.getWriter();
    const heard = server.stdout.getReader();
    const primary = { url: `https://localhost:${port}` };
    await using proxy = await startWebProxy({
      primary,
      // The checks would be answered by nobody.
      flags: { "ca-file": folder.at("ca.pem"), "check-interval": "1h", "check-timeout": "1s" },
    }, "selection.failed");
    const conn = await proxy.open();
    await conn.send({ target: "/cut" });
    let text = "";
    while (!text.includes("GET /cut")) {
      const { value, done } = await heard.read();
      if (done) throw new Error(`openssl s_server has ended: ${text}`);
      text += new TextDecoder().decode(value);
    }
    await said.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\nthe beginning"));
    // Its length is not known, so that only the end of the connection ends it: here one that nobody has announced.
    const head = await conn.head();
    assertEquals(head.status, 200);
    await conn.conn.bytes(1);
    server.kill("SIGKILL");
    await proxy.event("session.failed", { message: /close_notify|cut short/ });
    await Promise.all([said.abort().catch(() => {}), heard.cancel(), server.status]);
    conn.close();
  },
);

opensslScenario("HTTPS is served on a unix socket, too", async (authority, folder) => {
  await using primary = await WebUpstream.start("primary");
  const { cert, key } = await certify(folder, authority, "server", ["localhost"]);
  const socket = folder.at("https.sock");
  const flags = { "tls-cert": cert, "tls-key": key };
  await using _proxy = await startWebProxy({ primary, flags, listen: `unix:${socket}` });
  const args = ["-sS", "--unix-socket", socket, "--cacert", folder.at("ca.pem")];
  for (const version of ["--http1.1", "--http2"]) {
    assertEquals(await output("curl", [...args, version, "https://localhost/"]), "primary");
  }
});
