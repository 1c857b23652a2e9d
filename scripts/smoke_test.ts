/** Runs the smoke test of a release with the program from source instead of an executable. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { failover, FROM_SOURCE, MODES, versionOf } from "./smoke.ts";

Deno.test("a program that works passes the smoke test in TCP mode", async () => {
  const engine = Deno.build.os === "linux" ? "splice" : "stream";
  assert((await versionOf(FROM_SOURCE)).includes(`relay engine ${engine}`));
  assertMatch(
    await failover(FROM_SOURCE, MODES.tcp),
    new RegExp(
      `^TCP mode: failed over, \\d+ clients were served in \\d+ ms, relay engine ${engine}$`,
    ),
  );
});

Deno.test("a program that works passes the smoke test in HTTP mode", async () => {
  assertMatch(
    await failover(FROM_SOURCE, MODES.http),
    /^HTTP mode: failed over, \d+ clients were served in/,
  );
});

Deno.test("a program that ends by itself fails the smoke test, and its last output is shown", async () => {
  const broken = [Deno.execPath(), "eval", "console.error('no such luck'); Deno.exit(3)", "--"];
  const error = await assertRejects(() => failover(broken, MODES.tcp), Error);
  assertMatch(error.message, /^TCP mode: it ended by itself\n(.|\n)*no such luck/);
});

Deno.test("a program that does not print its version fails the smoke test", async () => {
  const silent = [Deno.execPath(), "eval", "", "--"];
  assertEquals(
    (await assertRejects(() => versionOf(silent), Error)).message,
    '--version says ""',
  );
});
