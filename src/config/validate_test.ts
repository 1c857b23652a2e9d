import { assertEquals } from "@std/assert";
import { errorsOf, httpOf, warningsOf } from "./testing/config.ts";

const TCP = ["-H", "a:1,b:2", "-p", "5432"];
const HTTP = ["--primary=http://p", "--backup=http://b"];

Deno.test("options that fit together give neither errors nor warnings", () => {
  assertEquals(warningsOf(TCP), []);
  assertEquals(warningsOf(HTTP), []);
});

Deno.test("settings that do less than they seem to give a warning", () => {
  const cases: [string[], string][] = [
    [
      [...TCP, "--check-timeout=3s"],
      "check_timeout 3s is longer than check_interval 2s: a silent upstream is asked less often than that",
    ],
    [
      [...TCP, "--hold=0", "--hold-while=down"],
      "hold_while does nothing with hold 0s: no client is held",
    ],
    [[...TCP, "--trigger-timeout=1s"], "trigger_timeout does nothing without on_failover"],
    [[...TCP, "--check-script-timeout=1s"], "check_script_timeout does nothing without check_host"],
    [
      [...TCP, "-f", "x", "--trigger-timeout=1m"],
      "hold 10s is shorter than trigger_timeout 1m: clients may be given up on while a program runs",
    ],
    [[...TCP, "--on-trigger-failure=retry"], "on_trigger_failure does nothing without on_failover"],
    [[...HTTP, "--trigger-mode=before"], "trigger_mode does nothing without on_failover"],
    [
      [...TCP, "--socket-mode=0660"],
      "socket_mode does nothing: nothing listens on a unix socket",
    ],
    [["--primary=http://p"], "there is no backup to fail over to"],
    [[...HTTP, "--ca-file=x"], "ca_file does nothing without an https:// upstream"],
    [
      [...HTTP, "--upstream-cert=x", "--upstream-key=y"],
      "upstream_cert does nothing without an https:// upstream",
    ],
    [[...HTTP, "--webhook-format=slack"], "webhook_format does nothing without webhook_url"],
  ];
  for (const [args, warning] of cases) assertEquals(warningsOf(args), [warning]);
});

Deno.test("the same server as primary and backup gives a warning, and counts as two upstreams", () => {
  const args = ["--primary=http://p", "--backup=http://b", "--backup=http://me:hush@p"];
  assertEquals(warningsOf(["--primary=http://p", "--backup=http://p"]), [
    "primary and backup are the same, http://p: there is nowhere to fail over to (from flag " +
    "--primary and from flag --backup)",
  ]);
  assertEquals(warningsOf(args).length, 1);
  assertEquals(warningsOf(["--primary=http://p/a", "--backup=http://p/b"]), []);
});

Deno.test("upstreams that are written alike get different names", () => {
  const service = httpOf(["--primary=http://p", "--backup=http://p", "--backup=http://q"]);
  assertEquals([service.primary, ...service.backup!].map(({ name }) => name), [
    "http://p",
    "http://p (2)",
    "http://q",
  ]);
  const masked = ["--backup=http://a:1@q", "--backup=http://b:2@q", "--backup=http://c:3@q"];
  assertEquals(httpOf(["--primary=http://p", ...masked]).backup!.map(({ name }) => name), [
    "http://***@q",
    "http://***@q (2)",
    "http://***@q (3)",
  ]);
});

Deno.test("one half of what belongs together for TLS is an error", () => {
  // The file may hold the key as well.
  assertEquals(httpOf([...HTTP, "--tls-cert=c.pem"]).tlsCert, ["c.pem"]);
  assertEquals(errorsOf([...HTTP, "--upstream-cert=c.pem"]), [
    "Cannot use upstream_cert without upstream_key (from flag --upstream-cert)",
  ]);
  assertEquals(errorsOf([...HTTP, "--upstream-key=k.pem"]), [
    "Cannot use upstream_key without upstream_cert (from flag --upstream-key)",
  ]);
  assertEquals(errorsOf([...HTTP, "--client-ca=c.pem"]), [
    "Cannot use client_ca without tls_cert (from flag --client-ca)",
  ]);
  const tls = ["--tls-cert=c", "--tls-key=k"];
  assertEquals(errorsOf([...HTTP, ...tls, "--listen=unix:/x", "--redirect-http=80"]), [
    "Cannot use redirect_http with a unix socket (from flag --redirect-http)",
  ]);
  assertEquals(errorsOf([...HTTP, ...tls, "--listen=:::80", "--redirect-http=80"]).length, 1);
  assertEquals(errorsOf([...HTTP, "--tls-key=k.pem"]), [
    "Cannot use tls_key without tls_cert (from flag --tls-key)",
  ]);
});

Deno.test("the admin listener can't be where clients connect", () => {
  assertEquals(errorsOf([...TCP, "--admin=[::]:5432"]), [
    'Cannot listen on "[::]:5432" twice (from flag --admin and from flag --port)',
  ]);
});

Deno.test("a promotion needs a check that can make it, and clients that wait", () => {
  const promote = [...TCP, "--promote"];
  assertEquals(errorsOf(promote), [
    "Cannot promote with check tcp, only with postgres and redis (from flag --promote)",
  ]);
  assertEquals(errorsOf([...promote, "--check=mysql"]).length, 1);
  assertEquals(warningsOf([...promote, "--check=redis"]), []);
  assertEquals(errorsOf([...promote, "--check=postgres", "--trigger-mode=beside", "-f", "x"]), [
    "Cannot promote while clients are served: trigger_mode must be before (from flag --trigger-mode, promote from flag --promote)",
  ]);
  const retry = [...promote, "--check=redis", "--on-trigger-failure=retry"];
  assertEquals(warningsOf(retry), []);
});

Deno.test("options of a check that asks a database give a warning without one", () => {
  const flags = ["--check-user=x", "--check-password-file=x", "--check-tls=require"];
  const all = [...TCP, ...flags, "--check-ca-file=x", "--max-lag=1MB", "--promote-timeout=1s"];
  const keys = ["check_user", "check_password_file", "check_tls", "check_ca_file", "max_lag"];
  assertEquals(warningsOf(all), [
    ...keys.map((key) => `${key} does nothing with check tcp`),
    "promote_timeout does nothing without promote",
  ]);
  assertEquals(warningsOf([...all.slice(0, -1), "--check=mysql"]), []);
});
