import { assertEquals } from "@std/assert";
import { sourceOf } from "./source.ts";

Deno.test("a source is written as in a list of upstreams", () => {
  assertEquals(sourceOf("DB1.example", "5432"), { source: "db1.example:5432" });
  assertEquals(sourceOf("2001:db8::1", "6379"), { source: "[2001:db8::1]:6379" });
});

Deno.test("what a server does not say, or what is no port, gives no source", () => {
  for (const [host, port] of [[null, "1"], ["", "1"], ["db", null], ["db", ""], ["db", "x"]]) {
    assertEquals(sourceOf(host, port), {});
  }
});
