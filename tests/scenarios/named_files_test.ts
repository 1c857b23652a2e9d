/**
 * Files in options: a wrong one is reported in one line with its option, by `--check-config` as by a start,
 * before anything runs; relative ones are found beside the file that names them.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { tlsTest } from "../gateway/certificate.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy, runProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { WebProxy } from "../harness/web_proxy.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const TCP = ["-H", "127.0.0.1:1,127.0.0.1:2", "-b", "127.0.0.1:0"];
const HTTP = ["--primary", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"];
const BACKUP = ["--backup", "http://127.0.0.1:2"];

/** Runs with and without `--check-config`; both must end at once, with these lines and nothing else. */
async function refused(args: readonly string[], ...wanted: RegExp[]): Promise<void> {
  for (const more of [[], ["--check-config"]]) {
    const run = await runProxy([...args, ...more]);
    const reported = run.stderr.join("\n");
    assertEquals([run.code, run.stderr.length, run.stdout.length], [2, wanted.length, 0], reported);
    for (const [at, pattern] of wanted.entries()) assertMatch(run.stderr[at]!, pattern);
    for (const line of run.stderr) assert(line.startsWith("failover: Cannot use "), line);
  }
}

Deno.test("programs that are missing or cannot run are reported before anything starts", async () => {
  await using folder = await Folder.make();
  const plain = await folder.write("plain.sh", "#!/bin/sh\n");
  await refused(
    [...TCP, "-c", "/nowhere/check.sh", "-f", plain],
    /"\/nowhere\/check\.sh" as check_host: no such file \(from flag --check-host\)$/,
    /plain\.sh" as on_failover: is not executable .*\(from flag --on-failover\)$/,
  );
});

Deno.test("errors in options and in the files that they name are reported together", async () => {
  await refused(
    [...TCP, "--hold", "-5s", "-c", "/nowhere/check.sh"],
    /"-5s" as hold: /,
    /"\/nowhere\/check\.sh" as check_host: no such file/,
  );
  await refused(
    ["--primary", "ftp://x", "--backup", "file:///nonexist", "--tls-cert", "/nonexist"],
    /"ftp:\/\/x" as primary: /,
    /"file:\/\/\/nonexist" as backup: /,
    /"\/nonexist" as tls_cert: /,
  );
  await refused(
    [
      ...[...HTTP, ...BACKUP, "--write-timeout", "foo", "--ca-file", "/no/f.pem"],
      ...["--tls-cert", "/no/c.pem", "--tls-key", "/no/c.key", "--client-ca", "/no/ca.pem"],
      ...["--upstream-cert", "/no/u.pem", "--upstream-key", "/no/u.key"],
    ],
    /"foo" as write_timeout: /,
    /"\/no\/f\.pem" as ca_file: there is no such file/,
    /"\/no\/ca\.pem" as client_ca: there is no such file/,
    /"\/no\/c\.pem" as tls_cert: there is no such file/,
    /"\/no\/c\.key" as tls_key: there is no such file/,
    /"\/no\/u\.pem" as upstream_cert: there is no such file/,
    /"\/no\/u\.key" as upstream_key: there is no such file/,
  );
});

Deno.test("a missing folder of scripts is reported, as is a file in its place", async () => {
  await refused(
    [...TCP, "--scripts-dir", "/typo"],
    /"\/typo" as scripts_dir: there is no such folder \(from flag --scripts-dir\)$/,
  );
  await using folder = await Folder.make();
  const file = await folder.write("file", "");
  await refused([...TCP, "--scripts-dir", file], /as scripts_dir: it is not a folder/);
});

Deno.test("pages and folders that are missing are reported before anything starts", async () => {
  await using folder = await Folder.make();
  const file = await folder.write("file", "");
  await refused(
    [...HTTP, "--backup", "file:///nonexist", "--backup", `page:/nonexist.html`],
    /"file:\/\/\/nonexist" as backup: there is no such folder \(from flag --backup\)$/,
    /"page:\/nonexist\.html" as backup: there is no such file \(from flag --backup\)$/,
  );
  await refused(
    [...HTTP, "--backup", `file://${file}`, "--backup", `page:${folder.path}`],
    /as backup: it is not a folder/,
    /as backup: it is a directory/,
  );
  await refused(
    [...HTTP, ...BACKUP, "--error-page", "/nonexist"],
    /"\/nonexist" as error_page: there is no such file/,
  );
});

Deno.test("a file that is not a certificate is reported with its option", async () => {
  await using folder = await Folder.make();
  const junk = await folder.write("junk.pem", "junk\n");
  const block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const broken = await folder.write("broken.pem", block);
  await refused([...HTTP, ...BACKUP, "--ca-file", junk], /junk\.pem" as ca_file: .*no certificate/);
  await refused(
    [...HTTP, ...BACKUP, "--ca-file", broken],
    /broken\.pem" as ca_file: .*cannot be used/,
  );
  await refused(
    [...HTTP, ...BACKUP, "--tls-cert", "/no/c.pem", "--tls-key", "/no/k.pem"],
    /"\/no\/c\.pem" as tls_cert: there is no such file/,
    /"\/no\/k\.pem" as tls_key: there is no such file/,
  );
  await refused(
    [...HTTP, ...BACKUP, "--tls-cert", junk, "--tls-key", junk],
    /junk\.pem" as tls_cert: .*no certificate/,
    /junk\.pem" as tls_key: .*no private key/,
  );
});

tlsTest(
  "a key that is invalid, encrypted, or of another certificate is reported with its option",
  async (tls) => {
    await using folder = await Folder.make();
    const openssl = async (...args: string[]) => {
      const { success } = await new Deno.Command("openssl", { args, stderr: "null" }).output();
      assert(success, args.join(" "));
    };
    const [other, locked] = [folder.at("other.pem"), folder.at("locked.pem")];
    await openssl("genpkey", "-algorithm", "ed25519", "-out", other);
    await openssl("pkey", "-in", tls.keyPath, "-aes256", "-passout", "pass:x", "-out", locked);
    const broken = await folder.write(
      "broken.pem",
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    const cert = [...HTTP, ...BACKUP, "--tls-cert", tls.certPath];
    await refused([...cert, "--tls-key", tls.certPath], /cert\.pem" as tls_key: .*no private key/);
    await refused([...cert, "--tls-key", locked], /locked\.pem" as tls_key: it is encrypted/);
    await refused(
      [...cert, "--tls-key", other],
      /other\.pem" as tls_key: it does not belong to the certificate in ".*cert\.pem"/,
    );
    await refused(
      [...HTTP, ...BACKUP, "--tls-cert", broken, "--tls-key", tls.keyPath],
      /broken\.pem" as tls_cert: (its certificate cannot be used|a certificate in it cannot be read)/,
    );
    const run = await runProxy([...cert, "--tls-key", tls.keyPath, "--check-config"]);
    assertEquals([run.code, run.stderr], [0, []]);
    assertStringIncludes(run.stdout.join("\n"), "Config is good");
  },
);

Deno.test("--check-config prints the same warnings about triggers as the log of a start", async () => {
  await using folder = await Folder.make();
  await Deno.mkdir(folder.at("triggers.d"));
  const run = await runProxy([...TCP, "-f", folder.at("triggers.d"), "--check-config"]);
  assertEquals(run.code, 0);
  assertMatch(run.stdout[1] ?? "", /^Warning: .*triggers\.d: has no program to run$/);
});

Deno.test("an engine that cannot serve a configuration is reported before anything starts", async () => {
  await using folder = await Folder.make();
  // Where the loader looks first there is a file that is no library.
  await folder.write("libssl.so.3", "no library");
  const args = ["--primary", "https://127.0.0.1:1", ...BACKUP, "--relay", "splice"];
  for (const more of [[], ["--check-config"]]) {
    const run = await runProxy([...args, ...more], { LD_LIBRARY_PATH: folder.path });
    assertEquals([run.code, run.stderr.length, run.stdout.length], [2, 1, 0]);
    assertMatch(
      run.stderr[0]!,
      /^failover: Cannot use the relay engine splice: .*libssl.* \(from flag --relay\)$/,
    );
  }
});

Deno.test("a file that several services share is reported once", async () => {
  await using folder = await Folder.make();
  const services = "services:\n  a: {hosts: x:1, port: 1}\n  b: {hosts: y:1, port: 2}\n";
  const config = await folder.write("failover.yaml", `check_host: none.sh\n${services}`);
  await refused(
    ["--config", config],
    /\/none\.sh" as check_host: no such file \(from .* line 1\)$/,
  );
});

scenario(
  "relative paths in a file are found beside it, in whatever folder the proxy is started",
  async (relay) => {
    await using folder = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    await using backup = await startUpstream({ says: "backup" });
    await folder.script("scripts/check.sh", `[ "$1" = '${backup.name}' ]`);
    await folder.script("scripts/promote.sh", `echo "$1" >> promoted`);
    const config = await folder.write(
      "failover.yaml",
      `bind: unix:./clients.sock\nhosts: ["${primary.name}", "${backup.name}"]\n` +
        `check_host: ./scripts/check.sh\non_failover: scripts/promote.sh\n`,
    );
    await using proxy = new Proxy(["--config", config, "--json-logs", "--relay", relay.relay], {});
    await proxy.event("promotion.finished", { to: backup.name });
    assertEquals(await folder.read("promoted"), `${backup.name}\n`);
    assert((await Deno.lstat(folder.at("clients.sock"))).isSocket);
  },
);

Deno.test("a page in a file is found beside it, and keeps its name", async () => {
  await using folder = await Folder.make();
  await folder.write("sorry.html", "sorry");
  await folder.write("none.txt", "nobody is left");
  const listen = `127.0.0.1:${unusedPort()}`;
  const config = await folder.write(
    "failover.yaml",
    `listen: ${listen}\nprimary: http://127.0.0.1:${unusedPort()}\n` +
      "backup: page:./sorry.html\nerror_page: none.txt\n",
  );
  await using proxy = new WebProxy(["--config", config, "--json-logs"], {}, listen);
  await proxy.event("promotion.finished", { to: "page:./sorry.html" });
  assertEquals((await proxy.get("/")).text, "sorry");
});
