/** Every option of the table that a reload cannot change. */
import { assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { type Key, KEYS, optionOf, yamlKeyOf } from "../../src/config/options.ts";
import { writeCertificate } from "../../src/net/testing/certificate.ts";
import { Folder } from "../harness/folder.ts";
import { type FileOptions, startReloaded } from "../harness/reloaded.ts";

Deno.test("every option that cannot change in place is refused by its name, all of them at once", async () => {
  await using folder = await Folder.make();
  const { certPath: cert, keyPath: key } = await writeCertificate(folder.path);
  const [secret, state] = [await folder.write("secret", "s"), folder.at("state")];
  const address = () => `127.0.0.1:${unusedPort()}`;
  const process = {
    ...{ workers: 2, socket_mode: "0600", state_dir: state, admin: address() },
    ...{
      coordinator: "etcd://127.0.0.1:9/db",
      coordinator_user: "u",
      coordinator_password_file: secret,
    },
    ...{ coordinator_ca: cert, coordinator_cert: cert, coordinator_key: key },
    ...{ coordinator_lease: "20s", without_coordinator: "decide-alone" },
  };
  const cases: readonly [before: FileOptions, after: FileOptions, more: FileOptions][] = [
    [{ hosts: "127.0.0.1:9", bind: address() }, {
      ...{ bind: address(), relay: "stream", accept_proxy: "v2", promote: true },
      ...{ promote_timeout: "9s", check: "postgres", check_user: "u", check_tls: "require" },
      ...{ check_password_file: secret, check_ca_file: cert },
    }, process],
    [{ primary: "http://127.0.0.1:9", listen: address(), tls_cert: [cert], tls_key: [key] }, {
      ...{ listen: address(), redirect_http: unusedPort() },
    }, {}],
    [{ primary: "http://127.0.0.1:9", listen: address() }, { h2c: true }, {}],
  ];
  const named = new Set<Key>();
  for (const [before, after, more] of cases) {
    await using proxy = await startReloaded({ services: { web: before } });
    await proxy.event("selection.failed");
    const services = { web: { ...before, ...after } };
    const { code, err } = await proxy.reload({ ...more, services });
    assertEquals(code, 2, err);
    for (const name of Object.keys({ ...after, ...more })) {
      const line = err.split("\n").find((line) => line.includes(` ${name} `)) ?? "";
      assertMatch(
        line,
        /while it runs: .*; that needs a restart \(from .* line \d+\)/,
        `${name}\n${err}`,
      );
      named.add(KEYS.find((key) => yamlKeyOf(key) === name)!);
    }
    assertEquals(proxy.events("config.reloaded"), []);
  }
  // The port is in `bind` and `listen`; a service with another name is another service; and the tests themselves
  // say where commands are taken.
  const others: readonly Key[] = ["port", "name", "control"];
  const missing = KEYS.filter((key) => optionOf(key).fixed !== undefined && !named.has(key));
  assertEquals(missing.filter((key) => !others.includes(key)), []);
});
