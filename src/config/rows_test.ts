import { assertEquals } from "@std/assert";
import { choice } from "./kinds.ts";
import { defaultOf, isFor, rows } from "./rows.ts";

const row = rows({ group: "Group", scope: "service", mode: "tcp" });

Deno.test("rows() gives each row what its group says, unless the row says otherwise", () => {
  const plain = row(choice("a", "b"), "Help", { default: "a" });
  assertEquals([plain.group, plain.scope, plain.mode], ["Group", "service", "tcp"]);
  assertEquals([isFor(plain, "tcp"), isFor(plain, "http")], [true, false]);
  const both = row(choice("a", "b"), "Help", { mode: "both" });
  assertEquals([isFor(both, "tcp"), isFor(both, "http")], [true, true]);
});

Deno.test("defaultOf() knows one default for both modes, one for each, and none", () => {
  const one = row(choice("a", "b"), "Help", { default: "a" });
  assertEquals([defaultOf(one, "tcp"), defaultOf(one, "http")], ["a", "a"]);
  const each = row(choice("a", "b"), "Help", { default: { tcp: "a", http: "b" } });
  assertEquals([defaultOf(each, "tcp"), defaultOf(each, "http")], ["a", "b"]);
  assertEquals(defaultOf(row(choice("a", "b"), "Help"), "http"), undefined);
});
