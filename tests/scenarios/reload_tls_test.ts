/** Reloads with other certificates, in both directions, in a running process. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { Authority } from "../../src/linux/testing/authority.ts";
import { certify, demandingUpstream, opensslScenario } from "../harness/certified.ts";
import { type FileOptions, startReloaded } from "../harness/reloaded.ts";
import { ScriptedWeb } from "../harness/scripted_web.ts";
import { untilTrue } from "../harness/test_deadline.ts";

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
    const first = await certify(folder, authority, "first", ["first.test"]);
    const second = await certify(folder, authority, "second", ["second.test"]);
    const client = await certify(folder, others, "client", ["a client"]);
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
    await using upstream = await demandingUpstream(authority, "localhost", others.cert);
    const primary = upstream.url;
    const listen = `127.0.0.1:${unusedPort()}`;
    const wrong = await certify(folder, authority, "wrong", ["a proxy"]);
    const right = await certify(folder, others, "right", ["a proxy"]);
    const of = (more: FileOptions) => ({ services: { web: { primary, listen, ...more } } });
    await using proxy = await startReloaded(
      of({ upstream_cert: wrong.cert, upstream_key: wrong.key }),
    );
    await proxy.event("selection.failed");
    const trusting = { ca_file: folder.at("ca.pem") };
    const half = { ...trusting, upstream_cert: wrong.cert, upstream_key: wrong.key };
    assertEquals((await proxy.reload(of(half))).code, 0);
    // The upstream is trusted now, and does not trust the proxy.
    const isReset = async () => JSON.stringify(await proxy.state()).includes("reset by upstream");
    await untilTrue("the upstream to refuse the certificate", isReset, proxy.lastLines);
    const whole = { ...trusting, upstream_cert: right.cert, upstream_key: right.key };
    assertEquals((await proxy.reload(of(whole))).code, 0);
    await proxy.event("promotion.finished");
    assertMatch(await curl([`http://${listen}/`]), /authorized: true$/);
  },
);
