/** Reloads with other certificates, in both directions, in a running process. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Authority } from "../../src/linux/testing/authority.ts";
import { tlsUnsupportedReason } from "../../src/linux/tls_unsupported_reason.ts";
import { Folder } from "../harness/folder.ts";
import { type FileOptions, startReloaded } from "../harness/reloaded.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { ScriptedWeb } from "../harness/scripted_web.ts";

/** A test that needs the system's OpenSSL, an authority and a folder. */
function opensslScenario(
  name: string,
  run: (authority: Authority, folder: Folder) => Promise<void>,
): void {
  testWithPrograms(name, ["openssl", "curl"], async () => {
    if (tlsUnsupportedReason() !== undefined) return;
    await using authority = await Authority.make();
    await using folder = await Folder.make();
    await folder.write("ca.pem", authority.cert);
    await run(authority, folder);
  });
}

/** Writes a certificate for this name and its key. */
async function write(folder: Folder, authority: Authority, file: string, name: string) {
  const pair = await authority.certify({ names: [name], days: 30 });
  return {
    cert: await folder.write(`${file}.crt`, pair.cert),
    key: await folder.write(`${file}.key`, pair.key),
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What curl prints, with the head of the response, or why it got none. */
async function curl(args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command("curl", {
    args: ["-sSi", "--max-time", "20", ...args],
  }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

opensslScenario(
  "another certificate, its clients' authority and hsts are in force for the next client, and a broken one is refused",
  async (authority, folder) => {
    await using one = new ScriptedWeb("one");
    await using others = await Authority.make("Another");
    const first = await write(folder, authority, "first", "first.test");
    const second = await write(folder, authority, "second", "second.test");
    const client = await write(folder, others, "client", "a client");
    const clientCa = await folder.write("clients.pem", others.cert);
    const port = unusedPort();
    const of = ({ cert, key }: { cert: string; key: string }, more: FileOptions = {}) => ({
      services: {
        web: {
          ...{ primary: one.url, listen: `127.0.0.1:${port}`, tls_cert: [cert], tls_key: [key] },
          ...more,
        },
      },
    });
    const ask = (host: string, ...more: string[]) =>
      curl([
        ...["--cacert", folder.at("ca.pem"), "--connect-to", `${host}:${port}:127.0.0.1:${port}`],
        ...[`https://${host}:${port}/`, ...more],
      ]);
    await using proxy = await startReloaded(of(first));
    await proxy.event("promotion.finished");
    assertMatch(await ask("first.test"), /"one"/);

    // Refused as a whole, so the old certificate stays in use.
    const half = await folder.write("half.crt", "-----BEGIN CERTIFICATE-----\nhalf");
    const refused = await proxy.reload(of({ cert: half, key: second.key }, { hold: "1s" }));
    assertEquals(refused.code, 2);
    assertStringIncludes(refused.err, "half.crt");
    assertMatch(await ask("first.test"), /"one"/);

    const changed = await proxy.reload(of(second, { hsts: "max-age=7" }));
    assertEquals([changed.code, changed.err], [0, ""]);
    assertMatch(await ask("first.test"), /no alternative certificate subject name/);
    assertMatch(await ask("second.test"), /strict-transport-security: max-age=7\r/i);

    const demanded = await proxy.reload(of(second, { client_ca: clientCa }));
    assertEquals([demanded.code, demanded.err], [0, ""]);
    assertMatch(await ask("second.test"), /certificate required|alert/);
    assertMatch(await ask("second.test", "--cert", client.cert, "--key", client.key), /"one"/);
    assertEquals(proxy.events("port.closed"), []);

    // The same path with another content.
    await Deno.copyFile(first.cert, second.cert);
    await Deno.copyFile(first.key, second.key);
    const renewed = await proxy.reload();
    assertEquals([renewed.code, renewed.err], [0, ""]);
    assertMatch(await ask("first.test", "--cert", client.cert, "--key", client.key), /"one"/);
  },
);

opensslScenario(
  "another authority and another certificate are in force towards upstreams, for requests and checks",
  async (authority, folder) => {
    await using others = await Authority.make("Another");
    const server = await authority.certify({ names: ["localhost"] });
    const options = {
      ...{ cert: server.cert, key: server.key, ca: others.cert },
      ...{ requestCert: true, rejectUnauthorized: true },
    };
    const upstream = createServer(options, (_, response) => response.end("trusted"));
    await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
    const primary = `https://localhost:${(upstream.address() as AddressInfo).port}`;
    const listen = `127.0.0.1:${unusedPort()}`;
    const wrong = await write(folder, authority, "wrong", "a proxy");
    const right = await write(folder, others, "right", "a proxy");
    const of = (more: FileOptions) => ({ services: { web: { primary, listen, ...more } } });
    try {
      await using proxy = await startReloaded(
        of({ upstream_cert: wrong.cert, upstream_key: wrong.key }),
      );
      await proxy.event("selection.failed");
      const trusting = { ca_file: folder.at("ca.pem") };
      const half = { ...trusting, upstream_cert: wrong.cert, upstream_key: wrong.key };
      assertEquals((await proxy.reload(of(half))).code, 0);
      // The upstream is trusted now, and does not trust the proxy.
      while (!JSON.stringify(await proxy.state()).includes("reset by upstream")) await pause(50);
      const whole = { ...trusting, upstream_cert: right.cert, upstream_key: right.key };
      assertEquals((await proxy.reload(of(whole))).code, 0);
      await proxy.event("promotion.finished");
      assertMatch(await curl([`http://${listen}/`]), /trusted$/);
    } finally {
      upstream.closeAllConnections();
      await new Promise((resolve) => upstream.close(resolve));
    }
  },
);
