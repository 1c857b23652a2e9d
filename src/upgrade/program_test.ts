import { assert, assertEquals, assertMatch } from "@std/assert";
import { startProgram } from "./program.ts";

Deno.test("the new process learns where the old one is, and how it ended is known", async () => {
  const args = ["-c", 'test "$FAILOVER_UPGRADE" = /run/x && exit 7'];
  const started = startProgram({ program: "/bin/sh", args }, "/run/x");
  assert(typeof started !== "string");
  assertEquals(await started.ended, "ended with exit code 7");
  await started.kill();
});

Deno.test("a process that was killed is gone afterwards", async () => {
  const started = startProgram({ program: "/bin/sh", args: ["-c", "exec sleep 60"] }, "/run/x");
  assert(typeof started !== "string");
  await started.kill();
  assertEquals(await started.ended, "was ended by SIGKILL");
});

Deno.test("a program that cannot be started is a reason of one line", async () => {
  const start = (program: string) => startProgram({ program, args: [] }, "/run/x");
  assertEquals(start("/nowhere/failover"), "there is no /nowhere/failover");
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/plain`, "text", { mode: 0o600 });
  assertEquals(start(`${folder}/plain`), `${folder}/plain is not executable`);
  assertMatch(String(start(folder)), /^(cannot run )?\/.*$/);
  await Deno.remove(folder, { recursive: true });
});
