import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { loadWith } from "../config/testing/config.ts";
import { explain } from "./explain.ts";

const TCP = ["--hosts", "a:1,b:1", "--bind", "127.0.0.1:9"];

function explained(...args: readonly string[]) {
  const loaded = loadWith([...TCP, ...args]);
  assert(loaded.kind === "run", JSON.stringify(loaded));
  return explain(loaded.config.services[0]!, { triggers: 0 });
}

Deno.test("the end of a server is usually seen at once, and the promotion has a term", () => {
  const { faults } = explained("--check", "postgres", "--promote", "--promote-timeout", "20s");
  const refused = faults.find(({ name }) => name === "refused")!;
  assertEquals(refused.usualMs, 0);
  assertEquals(refused.terms.at(-1)!.worstMs, 20_000);
  assertStringIncludes(refused.terms[0]!.what, "the end of the kept connection");
  const plain = explained("--check", "tcp").faults.find(({ name }) => name === "refused")!;
  assert(plain.usualMs > 1_000 && plain.worstMs === refused.worstMs - 20_000);
});

Deno.test("checks of a database notice what a connection alone does not", () => {
  const { faults, traps } = explained("--check", "redis", "--promote");
  for (const name of ["reset", "frozen", "no primary", "silent"]) {
    const fault = faults.find((each) => each.name === name)!;
    assert(fault.terms.length > 0 && fault.worstMs < Infinity, name);
  }
  assert(!traps.join().includes("no check notices"), traps.join());
});

Deno.test("traps of databases are reported where they apply", () => {
  const traps = (...args: string[]) => explained(...args).traps.join("\n");
  assertStringIncludes(traps("--hosts", "a:3306,b:3306"), "max_connect_errors");
  assert(!traps("--hosts", "a:3306,b:3306", "--check", "mysql").includes("max_connect_errors"));
  const back = ["--check", "redis", "--promote", "--failback", "auto"];
  assertStringIncludes(traps(...back), "promote with failback");
  assertStringIncludes(traps("--check", "mysql"), "nothing here promotes a standby");
  assert(!traps("--check", "mysql", "--on-failover", "/trigger").includes("nothing here promotes"));
});
