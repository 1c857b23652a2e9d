/** The command line and its results: exit codes, one line for each error, and the YAML file. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ask } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { Proxy, runProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

scenario("a port in use ends the start with exit code 1 and one line", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  const hosts = `127.0.0.1:${unusedPort()}`;
  const args = ["--bind", primary.name, "--hosts", hosts, "--relay", relay.relay];

  const run = await runProxy(args);

  assertEquals(run.code, 1, run.stderr.join("\n"));
  const last = run.stderr.at(-1)!;
  assertMatch(last, /in use/);
  assert(last.includes(primary.name), last);
  assertEquals(run.stderr.filter((line) => /^\s+at /.test(line)), []);
});

scenario("an admin port in use is noticed before anything starts", async (relay) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using other = await startUpstream({ says: "other" });
  const trigger = await folder.script("promote.sh", "touch promoted");
  const args = ["-b", other.name, "-H", primary.name, "-f", trigger, "--admin", primary.name];

  const run = await runProxy([...args, "--relay", relay.relay]);

  assertEquals([run.code, run.stderr.length], [1, 2], run.stderr.join("\n"));
  assert(run.stderr[0]!.startsWith(`failover: Cannot listen on ${other.name}: address in use`));
  assert(run.stderr[1]!.startsWith(`failover: Cannot listen on ${primary.name}: address in use`));
  await assertRejects(() => folder.read("promoted"), Deno.errors.NotFound);
});

Deno.test("all errors on the command line are reported together, with exit code 2", async () => {
  const run = await runProxy(
    ["--prot", "80", "--hosts", "a:1,b:99999", "--check-interval", "soon"],
    { FAILOVER_FAIL_THRESHOLD: "many" },
  );

  assertEquals(run.code, 2);
  const all = run.stderr.join("\n");
  assertMatch(all, /--prot\b.*did you mean.*--port/i);
  assertMatch(all, /b:99999/);
  assertMatch(all, /--check-interval/);
  assertMatch(all, /FAILOVER_FAIL_THRESHOLD/);
  assertEquals(run.stderr.filter((line) => /^\s+at /.test(line)), []);
});

Deno.test("neither mode, and both modes, are errors", async () => {
  assertEquals((await runProxy([])).code, 2);
  const both = ["-p", "8080", "-H", "a:1", "--primary", "http://a/"];
  assertEquals((await runProxy(both)).code, 2);
});

Deno.test("a YAML file that is missing or invalid is reported in one line, with the position", async () => {
  await using folder = await Folder.make();
  const missing = await runProxy(["--config", folder.at("missing.yaml")]);
  assertEquals([missing.code, missing.stderr.length], [2, 1], missing.stderr.join("\n"));
  assertMatch(missing.stderr[0]!, /missing\.yaml/);

  const broken = await folder.write("broken.yaml", "hosts: [a:1\nbind: ': x\n");
  const run = await runProxy(["--config", broken]);
  assertEquals([run.code, run.stderr.length], [2, 1], run.stderr.join("\n"));
  assertMatch(run.stderr[0]!, /line \d+.*column \d+/);
});

Deno.test("an upstream that is the proxy's own address is refused instead of a loop", async () => {
  for (const host of ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"]) {
    const run = await runProxy(["-p", "5999", "-H", `db1.example:5999,${host}:5999`]);
    assertEquals([run.code, run.stderr.length], [2, 1], run.stderr.join("\n"));
    assert(
      run.stderr[0]!.includes(`"${host}:5999" as hosts: it is where the service itself listens`),
    );
  }
  const [real] = Deno.networkInterfaces().filter(({ address }) =>
    !/^(127\.|::1$|fe80)/.test(address)
  );
  if (real === undefined) return;
  const host = real.family === "IPv6" ? `[${real.address}]` : real.address;
  const run = await runProxy(["--primary", `http://${host}:5999`, "--listen", "[::]:5999"]);
  assertEquals([run.code, run.stderr.length], [2, 1], run.stderr.join("\n"));
});

Deno.test("--check-config reports that the options are valid, and does not start", async () => {
  const run = await runProxy(["-p", "1", "-H", "a:1,b:2", "--check-config"]);

  assertEquals([run.code, run.stderr], [0, []]);
  assertEquals(run.stdout.length, 1, run.stdout.join("\n"));
});

Deno.test("--print-config shows each value with its origin", async () => {
  await using folder = await Folder.make();
  const config = await folder.write("failover.yaml", "hosts: [a:1, b:2]\nfail_threshold: 5\n");

  const run = await runProxy(["--config", config, "-p", "81", "--print-config"], {
    PORT: "82",
    MAX_BACKOFF: "7",
    FAILOVER_FAIL_THRESHOLD: "6",
  });

  assertEquals(run.code, 0, run.stderr.join("\n"));
  const line = (name: string) => run.stdout.find((each) => each.startsWith(`${name}:`)) ?? "";
  assertMatch(line("bind"), /81.*--port|81.*-p/);
  assertMatch(line("max_backoff"), /7s.*MAX_BACKOFF/);
  assertMatch(line("fail_threshold"), /6.*FAILOVER_FAIL_THRESHOLD/);
  assertMatch(line("hosts"), /a:1.*failover\.yaml/);
  assertMatch(line("recover_threshold"), /2.*default/);
});

Deno.test("--help fits 80 columns and --version is one line", async () => {
  const help = await runProxy(["--help"]);
  assertEquals(help.code, 0);
  assertEquals(help.stdout.filter((line) => line.length > 80), []);
  assert(help.stdout.some((line) => line.includes("--max-backoff")));

  const version = await runProxy(["--version"]);
  assertEquals([version.code, version.stdout.length], [0, 1]);
  assertMatch(version.stdout[0]!, /\d+\.\d+\.\d+/);
});

scenario("the environment of the original's container works as it did there", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  const port = String(unusedPort());
  const env = { PORT: port, HOSTS: primary.name, MAX_BACKOFF: "2" };
  await using proxy = new Proxy(["--json-logs", "--relay", relay.relay], env);
  await proxy.event("port.opened");

  assertEquals(await ask(`127.0.0.1:${port}`), "primary");
});

scenario(
  "two services of one file run in one process, and fail over independently",
  async (relay) => {
    await using folder = await Folder.make();
    await using a = await startUpstream({ says: "a" });
    await using b = await startUpstream({ says: "b" });
    await using c = await startUpstream({ says: "c" });
    const [left, right] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
    const config = await folder.write(
      "failover.yaml",
      [
        "json_logs: true",
        `relay: ${relay.relay}`,
        "services:",
        "  left:",
        `    bind: ${left}`,
        `    hosts: [ ${a.name}, ${b.name} ]`,
        "  right:",
        `    bind: ${right}`,
        `    hosts: ["${c.name}"]`,
      ].join("\n"),
    );
    await using proxy = new Proxy(["--config", config], {});
    await proxy.event("port.opened", { service: "left" });
    await proxy.event("promotion.finished", { service: "right" });
    assertEquals([await ask(left), await ask(right)], ["a", "c"]);

    await a.kill();

    assertEquals([await ask(left), await ask(right)], ["b", "c"]);
    await proxy.event("promotion.finished", { service: "left", to: b.name });
    assertEquals(proxy.events("promotion.finished", { service: "right" }).length, 1);
  },
);

scenario("the text log describes a failover in one line for each event", async (relay) => {
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  const bind = `127.0.0.1:${unusedPort()}`;
  await using folder = await Folder.make();
  const trigger = await folder.script("notify.sh", `[ "$1" = '${primary.name}' ] || touch moved`);
  const args = ["-b", bind, "-H", `${primary.name},${backup.name}`, "-f", trigger];
  await using proxy = new Proxy([...args, "--relay", relay.relay], {}, bind);
  await proxy.line(/listening on/);
  assertEquals(await proxy.ask(), "primary");

  await primary.kill();

  assertEquals(await proxy.ask(), "backup");
  // Clients are let in before the line is written.
  await proxy.line(/failover from .* done in/);
  assertEquals(await proxy.stop(), 0);
  assertEquals(proxy.stdout, []);
  const log = proxy.log.join("\n");
  for (const line of proxy.log) {
    assertMatch(line, /^\d{4}-\d\d-\d\d [\d:.]+Z (INFO|WARN|ERROR) +\S.{5,}$/);
  }
  assertMatch(log, new RegExp(`upstream ${primary.name} is down: connection refused`));
  assertMatch(log, new RegExp(`failover from ${primary.name} to ${backup.name} done in`));
  assert(proxy.log.length < 20, log);
});
