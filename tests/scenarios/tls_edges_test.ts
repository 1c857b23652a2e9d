/** The edges of two options of HTTPS on the real program: the port that leads there, and clients with certificates. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Authority } from "../../src/linux/testing/authority.ts";
import { tlsTest } from "../gateway/certificate.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

/** Sends text to a port, and resolves with all that comes until the end. */
async function exchange(port: number, text: string): Promise<string> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(new TextEncoder().encode(text));
  let answer = "";
  const room = new Uint8Array(16_384);
  for (;;) {
    const count = await conn.read(room).catch(() => null);
    if (count === null) return answer;
    answer += new TextDecoder().decode(room.subarray(0, count));
  }
}

tlsTest("--redirect-http answers whatever is asked, and leads nowhere else", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  const redirect = unusedPort();
  await using proxy = await startWebProxy({
    primary,
    flags: {
      ...{ "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay },
      "redirect-http": String(redirect),
    },
  });
  await proxy.event("port.opened", { address: `127.0.0.1:${redirect}` });
  const port = proxy.address.split(":")[1];
  const to = async (method: string, target: string, ...lines: string[]) => {
    const head = [`${method} ${target} HTTP/1.1`, ...lines, "Connection: close", "", ""];
    const asking = exchange(redirect, head.join("\r\n"));
    const answer = await withTestDeadline("an answer", asking, proxy.lastLines);
    const location = /^location: (.*)\r$/im.exec(answer)?.[1];
    return [/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1], location];
  };
  for (const method of ["GET", "HEAD", "POST", "DELETE", "OPTIONS"]) {
    assertEquals(await to(method, "/a?b", "Host: a.test"), ["308", `https://a.test:${port}/a?b`]);
  }
  assertEquals(await to("GET", "/", "Host: a.test:8080"), ["308", `https://a.test:${port}/`]);
  assertEquals(await to("GET", "/", "Host: [2001:db8::1]:80"), [
    "308",
    `https://[2001:db8::1]:${port}/`,
  ]);
  // The path stays one of the same host, however it begins.
  assertEquals(await to("GET", "//evil.test/x", "Host: a.test"), [
    "308",
    `https://a.test:${port}//evil.test/x`,
  ]);
  const long = `/${"x".repeat(8_000)}`;
  assertEquals(await to("GET", long, "Host: a.test"), ["308", `https://a.test:${port}${long}`]);
  for (
    const lines of [
      [],
      ["Host: a b"],
      ["Host: a.test@evil.test"],
      ["Host: a.test/evil"],
      ["Host: a.test", "Host: b.test"],
    ]
  ) {
    assertEquals(await to("GET", "/", ...lines), ["400", undefined], lines.join());
  }
  // HTTPS on that port is no HTTP, and HTTP on the port of HTTPS is no HTTPS.
  assertEquals((await to("GET", `/${"x".repeat(100_000)}`, "Host: a.test"))[1], undefined);
  assert(!(await exchange(Number(port), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")).includes("primary"));
  assertEquals(proxy.events("proxy.faulted"), []);
  assertEquals(await proxy.stop(), 0);
});

tlsTest("a client may bring a long chain of certificates, but no endless one", async () => {
  await using primary = await WebUpstream.start("primary");
  await using authority = await Authority.make();
  const { folder } = authority;
  await authority.certify({ names: ["localhost"] }, folder);
  const client = await authority.certify({ names: ["a client"] });
  await Deno.writeTextFile(`${folder}/client.crt`, client.cert);
  await Deno.writeTextFile(`${folder}/client.key`, client.key);
  await using proxy = await startWebProxy({
    primary,
    flags: {
      ...{ "tls-cert": `${folder}/cert.pem`, "tls-key": `${folder}/key.pem` },
      "client-ca": `${folder}/ca.pem`,
    },
  });
  /** What openssl says when its client sends a chain of about so many bytes. */
  const withChain = async (bytes: number) => {
    const each = atob(authority.cert.replace(/-----.*-----|\s/g, "")).length;
    await Deno.writeTextFile(`${folder}/chain.pem`, authority.cert.repeat(Math.ceil(bytes / each)));
    const pair = ["-cert", `${folder}/client.crt`, "-key", `${folder}/client.key`];
    const chain = ["-cert_chain", `${folder}/chain.pem`];
    const child = new Deno.Command("openssl", {
      args: ["s_client", "-connect", proxy.address, "-ign_eof", ...pair, ...chain],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n")).catch(() => {});
    await writer.close().catch(() => {});
    const { stdout, stderr } = await child.output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  };
  for (const bytes of [1, 20_000, 80_000]) {
    assertStringIncludes(await withChain(bytes), "\nprimary", `${bytes} bytes`);
  }
  assertMatch(await withChain(110_000), /alert illegal parameter|excessive|alert/i);
  await proxy.event("handshake.failed", { message: /excessive message size/ });
  assertStringIncludes(await withChain(1), "\nprimary");
  assertEquals(proxy.events("proxy.faulted"), []);
}, ["splice"]);

tlsTest(
  "a certificate that has expired is served, and one line says so at the start",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    await using authority = await Authority.make();
    const { folder } = authority;
    await authority.certify({ names: ["localhost"], days: -1 }, folder);
    await using proxy = await startWebProxy({
      primary,
      flags: {
        ...{ "tls-cert": `${folder}/cert.pem`, "tls-key": `${folder}/key.pem`, relay: tls.relay },
      },
    });
    await proxy.event("config.warned", { message: /cert\.pem has expired on \d{4}-\d\d-\d\d/ });
    const args = ["-sSk", `https://${proxy.address}/`];
    const { stdout } = await new Deno.Command("curl", { args }).output();
    assertEquals(new TextDecoder().decode(stdout), "primary");
    assertEquals(proxy.events("config.warned", { message: /expired/ }).length, 1);
  },
);

tlsTest(
  "what cannot certify clients, and a certificate that upstreams would refuse, are named at the start",
  async (tls) => {
    await using primary = await WebUpstream.start("primary");
    await using authority = await Authority.make();
    const { folder } = authority;
    await authority.certify({ names: ["a client"], days: -1 }, folder);
    const [shown, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
    await using proxy = await startWebProxy({
      primary,
      flags: {
        ...{ "tls-cert": tls.certPath, "tls-key": tls.keyPath, "client-ca": shown },
        ...{ "upstream-cert": shown, "upstream-key": key },
      },
    });
    await proxy.event("config.warned", { message: /certificate in .*cert\.pem has expired on/ });
    await proxy.event("config.warned", { message: /^no certificate in .* is one of an authority/ });
    assertEquals(await proxy.stop(), 0);
  },
  ["splice"],
);

tlsTest("OpenSSL serves what Deno's TLS would refuse, such as a key for RSA-PSS", async () => {
  await using primary = await WebUpstream.start("primary");
  await using folder = await Folder.make();
  const [cert, key] = [folder.at("pss.crt"), folder.at("pss.key")];
  const made = await new Deno.Command("openssl", {
    args: [
      ...["req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes"],
      ...["-subj", "/CN=localhost", "-keyout", key, "-out", cert],
    ],
  }).output();
  assert(made.success);
  await using proxy = await startWebProxy({ primary, flags: { "tls-cert": cert, "tls-key": key } });
  const args = ["-sSk", `https://${proxy.address}/`];
  const { stdout } = await new Deno.Command("curl", { args }).output();
  assertEquals(new TextDecoder().decode(stdout), "primary");
  assertEquals(await proxy.stop(), 0);
}, ["splice"]);
