/** Files on a file system that does not answer; scenarios cover all other errors of files. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { configOf } from "../config/testing/config.ts";
import { checkFiles } from "./files.ts";

Deno.test("a file system that does not answer is reported, file by file, and not waited for", async () => {
  const config = configOf([
    ...["--primary=http://p", "--backup=page:/silent/sorry.html", "-c", "/silent/check.sh"],
    ...["-f", "/silent/promote.sh", "--error-page=/silent/page.html"],
  ]);
  const clock = new ManualClock();
  const { stat } = Deno;
  let asked = Promise.withResolvers<void>();
  const looking = new Set<string | URL>();
  // A dead mount: every call hangs and keeps its thread.
  Deno.stat = (path) => {
    looking.add(path);
    asked.resolve();
    return new Promise(() => {});
  };
  try {
    const looked = checkFiles(config, clock);
    const ended = looked.then(() => "ended");
    for (let files = 1; files <= 4; files++) {
      assertEquals(await Promise.race([ended, asked.promise]), undefined);
      asked = Promise.withResolvers();
      await clock.advance(10_000);
    }
    const { errors } = await looked;
    assertEquals(errors, [
      'Cannot use "/silent/check.sh" as check_host: the file system does not answer (from flag --check-host)',
      'Cannot use "/silent/promote.sh" as on_failover: the file system does not answer (from flag --on-failover)',
      'Cannot use "page:/silent/sorry.html" as backup: the file system does not answer (from flag --backup)',
      'Cannot use "/silent/page.html" as error_page: the file system does not answer (from flag --error-page)',
    ]);
    assertEquals(looking.size, 4);
  } finally {
    Deno.stat = stat;
  }
});
