import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PROGRAM_VARIABLES } from "../base/program_variables.ts";
import { load } from "./load.ts";
import { summary } from "./print.ts";
import {
  type ConfigFixture,
  configOf,
  errorsOf,
  FOLDER,
  httpOf,
  loadWith,
  tcpOf,
  warningsOf,
} from "./testing/config.ts";

const TCP = ["-H", "a:1,b:2", "-p", "5432"];
const HTTP = ["--primary", "https://app.example", "--backup", "https://backup.example"];

const file = (yaml: string): ConfigFixture => ({ files: { "f.yaml": yaml } });
const FROM_FILE = ["--config", "f.yaml"];

Deno.test("the command line of the original starts TCP mode", () => {
  const tcp = tcpOf(
    ["-p", "8080", "-H", "host1:8080,host2:8080", "-c", "./ping.sh", "-f", "t", "-B", "30"],
  );
  assertEquals(tcp.bind, { kind: "tcp", host: "::", port: 8080 });
  assertEquals(tcp.hosts, [
    { name: "host1:8080", address: { kind: "tcp", host: "host1", port: 8080 } },
    { name: "host2:8080", address: { kind: "tcp", host: "host2", port: 8080 } },
  ]);
  assertEquals([tcp.checkHost, tcp.onFailover, tcp.maxBackoff], ["./ping.sh", "t", 30_000]);
  assertEquals(tcp.name, "tcp");
});

Deno.test("the container variables of the original start TCP mode", () => {
  const tcp = tcpOf([], { env: { PORT: "80", HOSTS: "a:1,b:2", MAX_BACKOFF: "5" } });
  assertEquals(tcp.hosts.length, 2);
  assertEquals(tcp.maxBackoff, 5_000);
  assertEquals(tcp.origins.bind, "environment PORT");
});

Deno.test("the documented command line starts HTTP mode on port 8080", () => {
  const http = httpOf(HTTP);
  assertEquals(http.listen, { kind: "tcp", host: "0.0.0.0", port: 8080 });
  assertEquals(http.primary.address, { kind: "tcp", host: "app.example", port: 443 });
  assertEquals(http.backup?.map((each) => each.name), ["https://backup.example"]);
  assertEquals([http.maxBody, http.failThreshold, http.name], [10 * 1024 ** 2, 3, "http"]);
});

Deno.test("defaults follow the mode", () => {
  assertEquals([tcpOf(TCP).failback, httpOf(HTTP).failback], [{ kind: "never" }, { kind: "auto" }]);
  assertEquals([tcpOf(TCP).checkTimeout, httpOf(HTTP).checkTimeout], [1_000, 2_000]);
  assertEquals([tcpOf(TCP).holdWhile, httpOf(HTTP).holdWhile], ["promoting", "down"]);
});

Deno.test("a failback duration is the time for which the better upstream must have been up", () => {
  assertEquals(tcpOf([...TCP, "--failback", "5m"]).failback, { kind: "after", ms: 300_000 });
});

Deno.test("several backups keep their order, from repeated flags and from a list", () => {
  const flags = ["--primary=http://p", "--backup=http://one", "--backup=page:sorry.html"];
  assertEquals(httpOf(flags).backup?.map((each) => each.name), ["http://one", "page:sorry.html"]);
  const yaml = "primary: http://p\nbackup:\n  - http://one\n  - {url: http://two, host: x}\n";
  const backup = httpOf(FROM_FILE, file(yaml)).backup;
  assertEquals(backup?.map((each) => each.name), ["http://one", "http://two"]);
});

Deno.test("PORT alone sets the port of HTTP mode and is no error", () => {
  const http = httpOf(HTTP, { env: { PORT: "3000" } });
  assertEquals(http.listen, { kind: "tcp", host: "::", port: 3000 });
  assertEquals(http.origins.listen, "environment PORT");
});

Deno.test("an address given under its own name wins over PORT, whatever the source", () => {
  const env = { PORT: "3000", FAILOVER_BIND: "b:2" };
  assertEquals(tcpOf(["-H", "a:1"], { env }).origins.bind, "environment FAILOVER_BIND");
  assertEquals(tcpOf(["-H", "a:1", "-b", "c:3"], { env }).origins.bind, "flag --bind");
});

Deno.test("HOSTS in the environment of HTTP mode is not used, and gives a warning", () => {
  const warnings = warningsOf(HTTP, { env: { HOSTS: "a:1" } });
  assertEquals(warnings, ["environment HOSTS is not used: this is HTTP mode"]);
});

Deno.test("a variable that is empty counts as not set", () => {
  const env = { HOSTS: "", FAILOVER_HOSTS: "", FAILOVER_CHECK_INTERVAL: "", FAILOVER_NONSENSE: "" };
  assertEquals(httpOf(HTTP, { env }).checkInterval, 2_000);
});

Deno.test("the variables that Kubernetes makes for a service called failover are ignored", () => {
  const env = {
    FAILOVER_PORT: "tcp://10.0.0.1:8080",
    FAILOVER_PORT_8080_TCP: "tcp://10.0.0.1:8080",
    FAILOVER_PORT_8080_TCP_ADDR: "10.0.0.1",
    FAILOVER_SERVICE_HOST: "10.0.0.1",
    FAILOVER_SERVICE_PORT_HTTP: "8080",
  };
  assertEquals(tcpOf(TCP, { env }).origins.bind, "flag --port");
  assertEquals(warningsOf(TCP, { env }), []);
});

Deno.test("the variables that are set for our own programs are ignored", () => {
  const names = Object.keys(PROGRAM_VARIABLES);
  assert(names.includes("FAILOVER_PHASE") && names.includes("FAILOVER_ACTIVE"));
  assertEquals(warningsOf(TCP, { env: Object.fromEntries(names.map((name) => [name, "x"])) }), []);
});

Deno.test("an unknown variable is a warning, with the name that was probably meant", () => {
  const env = {
    FAILOVER_HOME: "/opt",
    FAILOVER_CHECK_INTERVALL: "1s",
    FAILOVER_BACKUP_BUCKET: "x",
  };
  assertEquals(warningsOf(TCP, { env }), [
    "Unknown environment variable FAILOVER_HOME; did you mean FAILOVER_HOLD?",
    "Unknown environment variable FAILOVER_CHECK_INTERVALL; did you mean FAILOVER_CHECK_INTERVAL?",
    "Unknown environment variable FAILOVER_BACKUP_BUCKET",
  ]);
});

Deno.test("one error is one line", () => {
  for (
    const wrong of [
      ["--hold", "-5s"],
      ["-B", "-1"],
      ["--name", ""],
      ["--drain-timeout", "-"],
    ]
  ) assertEquals(errorsOf([...TCP, ...wrong]).length, 1, wrong.join(" "));
  assertEquals(errorsOf(["-p", "80", "-H", ""]), ["Flag --hosts needs a value: HOST:PORT,…"]);
  assertEquals(errorsOf(FROM_FILE, file("hosts: [a:1, a:x]\nport: 80")), [
    'Cannot use "a:x" as hosts: expected HOST:PORT, [IPV6]:PORT or unix:/PATH with a port from 1 to ' +
    "65535 (from f.yaml line 1)",
  ]);
});

Deno.test("a file may be named by the environment", () => {
  const fixture = { env: { FAILOVER_CONFIG: "f.yaml" }, ...file("hosts: a:1\nport: 80\n") };
  assertEquals(tcpOf([], fixture).hosts.length, 1);
});

Deno.test("all errors are reported together, one line each", () => {
  const args = ["-H", "a:b", "-p", "99999", "--check-interval", "soon", "--failback=x", "--xyz"];
  const lines = errorsOf(args);
  assertEquals(lines, [
    "Unknown flag --xyz",
    'Cannot use "a:b" as hosts: expected HOST:PORT, [IPV6]:PORT or unix:/PATH with a port from 1 ' +
    "to 65535 (from flag --hosts)",
    'Cannot use "99999" as port: expected a port from 0 to 65535 (from flag --port)',
    'Cannot use "soon" as check_interval: expected a duration like 250ms, 2s, 1m30s or a number ' +
    "of seconds, at most 24d (from flag --check-interval)",
    'Cannot use "x" as failback: expected never, auto, manual or a duration like 30s ' +
    "(from flag --failback)",
  ]);
});

Deno.test("both modes at once are an error that names both sources", () => {
  assertEquals(errorsOf([...TCP, "--primary", "http://p"]), [
    "Cannot run one service in both modes: hosts (from flag --hosts) means TCP mode, primary or " +
    "backup (from flag --primary) HTTP mode",
  ]);
});

Deno.test("neither mode is an error that shows how both are started", () => {
  const lines = errorsOf([]);
  assertEquals(lines[0], "Nothing says hosts (TCP mode) or primary (HTTP mode)");
  assertStringIncludes(lines[1]!, "--hosts");
  assertStringIncludes(lines[2]!, "--primary");
});

Deno.test("a missing option is not reported when a source could not be read", () => {
  assertEquals(errorsOf(["--hosts"]), ["Flag --hosts needs a value: HOST:PORT,…"]);
  assertEquals(errorsOf(["-p", "80", ...FROM_FILE]), [
    'Cannot read "f.yaml": there is no such file (from flag --config)',
  ]);
});

Deno.test("an option of the other mode is an error", () => {
  assertEquals(errorsOf([...TCP, "--max-body", "1MB"]), [
    "Cannot use max_body in TCP mode: it belongs to HTTP mode (from flag --max-body)",
  ]);
  assertEquals(errorsOf(HTTP, { env: { FAILOVER_SEND_PROXY: "v1" } }), [
    "Cannot use send_proxy in HTTP mode: it belongs to TCP mode (from environment FAILOVER_SEND_PROXY)",
  ]);
});

Deno.test("TCP mode needs either port or bind, and not both", () => {
  assertEquals(errorsOf(["-H", "a:1"]), ["Nothing says port or bind, which TCP mode needs"]);
  assertEquals(errorsOf(["-H", "a:1", "-p", "1", "-b", "c:2"]), [
    "Cannot use both bind and port: give one of them (from flag --bind and flag --port)",
  ]);
});

Deno.test("--port as a flag wins over bind in a file", () => {
  const tcp = tcpOf([...FROM_FILE, "-p", "80"], file("hosts: a:1\nbind: c:2\n"));
  assertEquals(tcp.bind, { kind: "tcp", host: "::", port: 80 });
});

Deno.test("a file that cannot be read is an error with the reason", () => {
  const fails = (error: Error) =>
    load({
      args: ["--config", "d"],
      env: {},
      stat: Deno.statSync,
      interfaces: () => [],
      readFile: () => {
        throw error;
      },
    });
  const lines = (error: Error) => {
    const loaded = fails(error);
    return loaded.kind === "errors" ? loaded.lines : [];
  };
  assertEquals(lines(new Deno.errors.PermissionDenied()), [
    'Cannot read "d": permission denied (from flag --config)',
  ]);
  assertEquals(lines(new Deno.errors.IsADirectory()), [
    'Cannot read "d": it is a directory (from flag --config)',
  ]);
});

Deno.test("no error contains a secret", () => {
  const lines = errorsOf([
    ...HTTP,
    "--webhook-url=ftp://hush.example/hush",
    "--primary=http://me:hush@p?q",
    "--backup=http://me:hush@b?q",
  ].filter((arg) => !HTTP.includes(arg)));
  assertEquals(lines.length, 3);
  assert(!lines.join("\n").includes("hush"), lines.join("\n"));
});

Deno.test("--help and --version work, whatever else is wrong", () => {
  const help = loadWith(["--nope", "-h"]);
  assert(help.kind === "print" && help.text.startsWith("usage: failover"));
  assertEquals(loadWith(["-V"]), { kind: "version" });
});

Deno.test("bad values are reported although the mode is not clear", () => {
  const lines = errorsOf(["--hots", "a:1", "-p", "99999", "--check-interval", "2x"]);
  assertEquals(lines.length, 3, lines.join("\n"));
  assertStringIncludes(lines.join("\n"), '"99999"');
  assertStringIncludes(lines.join("\n"), '"2x"');
});

Deno.test("--check-config gives the config to examine, or the errors", () => {
  const good = loadWith([...TCP, "--check-config"]);
  assert(good.kind === "check");
  assertEquals(
    summary(good.config, ["odd"]),
    "Config is good: service tcp listens on [::]:5432, TCP mode, 2 upstreams\nWarning: odd",
  );
  assertEquals(loadWith(["--check-config"]).kind, "errors");
});

Deno.test("relative paths in a file begin in its folder; others, and flags, stay as they are", () => {
  const yaml = "hosts: [unix:db.sock, unix:/run/db, a:1]\nbind: unix:./in.sock\n" +
    "check_host: ./check.sh\non_failover: /abs/promote.sh\n";
  const at = (path: string, ...args: string[]) =>
    tcpOf([`--config=${path}`, ...args], { files: { [path]: yaml } });
  const tcp = at("/etc/failover/f.yaml");
  assertEquals([tcp.checkHost, tcp.onFailover], ["/etc/failover/check.sh", "/abs/promote.sh"]);
  assertEquals(tcp.bind, { kind: "unix", path: "/etc/failover/in.sock" });
  assertEquals(tcp.hosts.map(({ name }) => name), [
    "unix:/etc/failover/db.sock",
    "unix:/run/db",
    "a:1",
  ]);
  assertEquals(at("f.yaml").checkHost, "./check.sh");
  assertEquals(at("conf/f.yaml").checkHost, "conf/check.sh");
  assertEquals(at("../f.yaml").checkHost, "../check.sh");
  assertEquals(at("/f.yaml").checkHost, "/check.sh");
  assertEquals(at("/etc/f.yaml", "-c", "./mine.sh").checkHost, "./mine.sh");
});

Deno.test("a page and a folder of scripts in a file begin in its folder too", () => {
  const files = {
    "/etc/f.yaml":
      "primary: http://p\nbackup: [page:./sorry.html, 'file:///srv']\nca_file: ca.pem\n" +
      "scripts_dir: scripts\n",
  };
  const infos = { "/etc/scripts/triggers.d": FOLDER };
  const http = httpOf(["--config=/etc/f.yaml"], { files, infos });
  assertEquals(http.backup?.map((each) => each.kind === "url" ? "" : each.path), [
    "/etc/sorry.html",
    "/srv",
  ]);
  assertEquals(http.backup?.[0]?.name, "page:./sorry.html");
  assertEquals([http.caFile, http.onFailover], ["/etc/ca.pem", "/etc/scripts/triggers.d"]);
});

Deno.test("the config can't be changed after loading", () => {
  const config = configOf(TCP);
  const service = config.services[0] as unknown as { grace: number; hosts: unknown[] };
  assertThrows(() => service.grace = 0, TypeError);
  assertThrows(() => service.hosts.push(1), TypeError);
  assertThrows(() => (config.process as { jsonLogs: boolean }).jsonLogs = true, TypeError);
});
