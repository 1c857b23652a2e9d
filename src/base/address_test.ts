import { assert, assertEquals } from "@std/assert";
import { formatAddress, parseAddress, parsePort } from "./address.ts";
import { ConfigError } from "./config_error.ts";

Deno.test("an address is read and printed back the same", () => {
  for (
    const text of [
      "db1:5432",
      "10.0.0.1:80",
      "[::1]:6379",
      "[fe80::1%eth0]:22",
      "unix:/run/pg.sock",
    ]
  ) {
    const address = parseAddress(text);
    assert(!(address instanceof ConfigError), text);
    assertEquals(formatAddress(address), text);
  }
});

Deno.test("the parts of an address arrive in their fields", () => {
  assertEquals(parseAddress("db_1.example.com:5432"), {
    kind: "tcp",
    host: "db_1.example.com",
    port: 5432,
  });
  assertEquals(parseAddress("[::1]:80"), { kind: "tcp", host: "::1", port: 80 });
  assertEquals(parseAddress("unix:/run/x"), { kind: "unix", path: "/run/x" });
});

Deno.test("an invalid address is an error that names what was expected", () => {
  const bad = [
    "",
    "db1",
    "db1:",
    ":80",
    "db1:0",
    "db1:65536",
    "db1:8x",
    "::1:80",
    "[db1]:80",
    "a b:1",
    "-a:1",
    "http://x:80",
    "unix:",
    "[::1]",
    "a:1:2",
    `unix:/${"x".repeat(107)}`,
    "db1:+80",
    "db1: 80",
  ];
  for (const text of bad) {
    const error = parseAddress(text);
    assert(error instanceof ConfigError, text);
    assert(error.expected.length > 5);
  }
});

Deno.test("port 0 is for listeners only", () => {
  assert(parseAddress("127.0.0.1:0") instanceof ConfigError);
  assertEquals(parseAddress("127.0.0.1:0", true), { kind: "tcp", host: "127.0.0.1", port: 0 });
});

Deno.test("a port is a plain number from 1 to 65535", () => {
  assertEquals(parsePort("65535"), 65535);
  for (const text of ["0", "65536", "", "1e3", "0x10", "-1", "１"]) {
    assert(parsePort(text) instanceof ConfigError, text);
  }
});
