import { assertEquals } from "@std/assert";
import { configOf, errorsOf, warningsOf } from "./testing/config.ts";

const TWO = `
json_logs: on
check_interval: 500ms
check_timeout: 400ms
max_body: 2MB
services:
  orders:
    hosts: [a:1, b:2]
    port: 5432
  web:
    primary: http://p
    backup: page:sorry.html
    check_interval: 5s
`;

const args = ["--config", "f.yaml"];
const file = (yaml: string) => ({ files: { "f.yaml": yaml } });

Deno.test("a file with services starts each under its name, in order, in its mode", () => {
  const { services, process } = configOf(args, file(TWO));
  assertEquals(services.map(({ name, mode }) => [name, mode]), [["orders", "tcp"], [
    "web",
    "http",
  ]]);
  assertEquals(process.jsonLogs, true);
});

Deno.test("the top level of a file is the default of its services, which may differ from it", () => {
  const { services } = configOf(args, file(TWO));
  assertEquals(services.map((service) => service.checkInterval), [500, 5_000]);
  assertEquals(services[0]?.origins.checkInterval, "f.yaml line 3");
  assertEquals(services[1]?.origins.checkInterval, "f.yaml line 13");
  assertEquals(services.map((each) => each.mode === "http" ? each.maxBody : 0), [0, 2 * 1024 ** 2]);
});

Deno.test("flags for the whole process can be used with services", () => {
  const config = configOf([...args, "--log-level", "debug"], file(TWO));
  assertEquals(config.process.logLevel, "debug");
});

Deno.test("flags and variables for one service can't be used with services", () => {
  const fixture = { ...file(TWO), env: { FAILOVER_HOLD: "1s" } };
  assertEquals(errorsOf([...args, "--grace", "2s"], fixture), [
    "Cannot tell which service is meant by flag --grace, environment FAILOVER_HOLD: " +
    "the file has several",
  ]);
});

Deno.test("general variables are not used with services, and give a warning", () => {
  const warnings = warningsOf(args, { ...file(TWO), env: { PORT: "80" } });
  assertEquals(warnings, ["environment PORT is not used: the file has several services"]);
});

Deno.test("an option of a single service can't be a default for all", () => {
  assertEquals(errorsOf(args, file(`port: 80\n${TWO}`)), [
    'Cannot use "port" in f.yaml line 1: it belongs to one service: write it under "services"',
  ]);
});

Deno.test("an option of the whole process can't be set in one service", () => {
  assertEquals(errorsOf(args, file(`${TWO}    log_level: debug\n`)), [
    'Cannot use "log_level" in f.yaml line 14: it is for the whole process: write it at the top level',
  ]);
});

Deno.test("a default that fits no service is an error", () => {
  const yaml = "max_body: 1MB\nservices:\n  a: {hosts: 'a:1', port: 1}\n";
  assertEquals(errorsOf(args, file(yaml)), [
    "Cannot use max_body: no service is in its mode (from f.yaml line 1)",
  ]);
});

Deno.test("errors in a service name it", () => {
  const yaml =
    "services:\n  a:\n    hosts: a:1\n  b:\n    grace: 1s\n  c: 7\n  d x: {hosts: 'a:1', port: 2}\n";
  assertEquals(
    errorsOf(args, file(yaml)),
    [
      'Cannot use service "c" in f.yaml line 6: expected its options',
      'Cannot use "d x" as name: expected up to 64 letters, digits and . _ - (from f.yaml line 7)',
    ].map((line) => line.startsWith('Cannot use "d x"') ? `Service "d x": ${line}` : line),
  );
  assertEquals(errorsOf(args, file("services:\n  a:\n    hosts: a:1\n  b:\n    grace: 1s\n")), [
    'Service "a": Nothing says port or bind, which TCP mode needs',
    'Service "b": Nothing says hosts (TCP mode) or primary (HTTP mode)',
  ]);
});

Deno.test("two services can't listen on one address, unless the system chooses the port", () => {
  const yaml = (port: number) =>
    `services:\n  a: {hosts: "a:1", port: ${port}}\n  b: {hosts: "a:1", port: ${port}}\n`;
  assertEquals(errorsOf(args, file(yaml(80))), [
    'Cannot listen on "[::]:80" twice (from f.yaml line 2 and from f.yaml line 3)',
  ]);
  assertEquals(configOf(args, file(yaml(0))).services.length, 2);
});

Deno.test("services must be a mapping that is not empty", () => {
  for (const services of ["[a, b]", "{}", "x", ""]) {
    assertEquals(errorsOf(args, file(`services: ${services}\n`)), [
      'Cannot use "services" in f.yaml line 1: expected a name and options for each',
    ]);
  }
});
