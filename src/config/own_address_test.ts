import { assertEquals } from "@std/assert";
import { parseAddress } from "../base/address.ts";
import { ConfigError } from "../base/config_error.ts";
import { collide, isOwn } from "./own_address.ts";
import { errorsOf, tcpOf } from "./testing/config.ts";

const INTERFACES = ["127.0.0.1", "10.0.0.7", "::1", "fe80::1"];

function own(upstream: string, listener: string): boolean {
  const [to, at] = [parseAddress(upstream), parseAddress(listener, true)];
  if (to instanceof ConfigError || at instanceof ConfigError) {
    throw new Error(`${upstream} ${listener}`);
  }
  return isOwn(to, at, () => INTERFACES);
}

Deno.test("an upstream is our own address, however either is written", () => {
  const cases: [upstream: string, listener: string][] = [
    ["127.0.0.1:80", "127.0.0.1:80"],
    ["127.1:80", "127.0.0.1:80"],
    ["[::ffff:127.0.0.1]:80", "127.0.0.1:80"],
    ["[0:0:0:0:0:0:0:1]:80", "[::1]:80"],
    ["localhost:80", "127.0.0.1:80"],
    ["LocalHost.:80", "[::1]:80"],
    ["0.0.0.0:80", "127.0.0.1:80"],
    ["127.0.0.9:80", "0.0.0.0:80"],
    ["10.0.0.7:80", "0.0.0.0:80"],
    ["10.0.0.7:80", "[::]:80"],
    ["[fe80::1%eth0]:80", "[::]:80"],
    ["localhost:80", "0.0.0.0:80"],
    ["[::]:80", "0.0.0.0:80"],
    ["app.example:80", "app.example:80"],
    ["unix:/run/x", "unix:/run/x"],
  ];
  for (const [upstream, listener] of cases) {
    assertEquals(own(upstream, listener), true, `${upstream} of ${listener}`);
  }
});

Deno.test("an upstream at another address is not our own", () => {
  const cases: [upstream: string, listener: string][] = [
    ["127.0.0.1:81", "127.0.0.1:80"],
    ["127.0.0.2:80", "127.0.0.1:80"],
    ["10.0.0.8:80", "0.0.0.0:80"],
    ["[::1]:80", "0.0.0.0:80"],
    ["10.0.0.7:80", "127.0.0.1:80"],
    ["db1:80", "[::]:80"],
    ["127.0.0.1:80", "0.0.0.0:0"],
    ["unix:/run/x", "unix:/run/y"],
    ["unix:/run/x", "127.0.0.1:80"],
  ];
  for (const [upstream, listener] of cases) {
    assertEquals(own(upstream, listener), false, `${upstream} of ${listener}`);
  }
});

Deno.test("listeners collide where one takes the address of the other", () => {
  const both = (one: string, other: string) => {
    const [a, b] = [parseAddress(one, true), parseAddress(other, true)];
    if (a instanceof ConfigError || b instanceof ConfigError) throw new Error(`${one} ${other}`);
    assertEquals(collide(a, b), collide(b, a));
    return collide(a, b);
  };
  for (
    const [one, other] of [
      ["127.0.0.1:80", "127.0.0.1:80"],
      ["[::]:80", "127.0.0.1:80"],
      ["[::]:80", "0.0.0.0:80"],
      ["0.0.0.0:80", "10.0.0.7:80"],
      ["localhost:80", "127.0.0.1:80"],
      ["unix:/x", "unix:/x"],
    ]
  ) assertEquals(both(one!, other!), true, `${one} ${other}`);
  for (
    const [one, other] of [
      ["127.0.0.1:80", "127.0.0.1:81"],
      ["127.0.0.1:80", "127.0.0.2:80"],
      ["0.0.0.0:80", "[::1]:80"],
      ["[::]:0", "[::]:0"],
      ["unix:/x", "unix:/y"],
    ]
  ) assertEquals(both(one!, other!), false, `${one} ${other}`);
  assertEquals(errorsOf(["-p", "80", "-H", "a:1", "--admin", "127.0.0.1:80"]), [
    'Cannot listen on "[::]:80" beside "127.0.0.1:80" (from flag --admin and from flag --port)',
  ]);
});

Deno.test("a service whose upstream is its own address is refused, in either mode", () => {
  assertEquals(errorsOf(["-p", "5432", "-H", "db1:5432,localhost:5432"]), [
    'Cannot use "localhost:5432" as hosts: it is where the service itself listens ' +
    "(from flag --hosts, listening from flag --port)",
  ]);
  const http = ["--primary=http://127.0.0.1:8080/app", "--backup=http://b"];
  assertEquals(errorsOf(http), [
    'Cannot use "http://127.0.0.1:8080/app" as primary: it is where the service itself listens ' +
    "(from flag --primary, listening from default)",
  ]);
  const backup = ["--primary=http://p", "--backup=http://b", "--backup=http://[::1]", "-p", "80"];
  assertEquals(errorsOf(backup), [
    'Cannot use "http://[::1]" as backup: it is where the service itself listens ' +
    "(from flag --backup, listening from flag --port)",
  ]);
  assertEquals(tcpOf(["-b", "127.0.0.1:5432", "-H", "127.0.0.2:5432"]).hosts.length, 1);
});

Deno.test("the addresses of this machine are asked for only where a wildcard listens", () => {
  const interfaces = () => ["192.0.2.7"];
  const wrong = ["-p", "80", "-H", "192.0.2.7:80"];
  assertEquals(errorsOf(wrong, { interfaces }).length, 1);
  assertEquals(tcpOf(["-p", "80", "-H", "192.0.2.8:80"], { interfaces }).hosts.length, 1);
});
