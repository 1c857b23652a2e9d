import { assertEquals } from "@std/assert";
import { passwordFor } from "./passfile.ts";

const KEY = { host: "db1", port: "5432", database: "postgres", user: "app" };

Deno.test("the first line that matches has the password, and an asterisk matches all", () => {
  const text = "# a comment\n\nother:*:*:app:no\n*:5432:*:app:yes\n*:*:*:*:late\n";
  assertEquals(passwordFor(text, KEY), "yes");
  assertEquals(passwordFor(text, { ...KEY, user: "x" }), "late");
  assertEquals(passwordFor("db2:*:*:*:no\r\n", KEY), undefined);
});

Deno.test("a password may contain colons, and a backslash makes a character plain", () => {
  assertEquals(passwordFor("db1:5432:postgres:app:a:b\\:c\\\\d\r\n", KEY), "a:b:c\\d");
  assertEquals(passwordFor("::1:5432:postgres:app:no", { ...KEY, host: "::1" }), undefined);
  assertEquals(passwordFor("\\:\\:1:5432:postgres:app:v6", { ...KEY, host: "::1" }), "v6");
  assertEquals(passwordFor("\\*:5432:postgres:app:no", KEY), undefined);
  assertEquals(passwordFor("db1:5432:postgres:app", KEY), undefined);
});
