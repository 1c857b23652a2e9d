import { assert, assertEquals } from "@std/assert";
import { ManualClock, realClock } from "../base/clock.ts";
import { configOf } from "../config/testing/config.ts";
import { AccessLogs } from "./access_logs.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";

/** Two HTTP services with these access logs. */
function withLogs(first: string, second: string) {
  const service = (port: number, log: string) =>
    `    primary: http://a:1\n    backup: http://b:1\n    listen: 127.0.0.1:${port}\n    access_log: ${log}\n`;
  const text = `services:\n  one:\n${service(1, first)}  two:\n${service(2, second)}`;
  return configOf(["--config", "f.yaml"], { files: { "f.yaml": text } });
}

Deno.test("services that name the same path share one file", () =>
  inTempFolder(async (folder) => {
    const [shared, other] = [`${folder}/a.log`, `${folder}/b.log`];
    using same = await AccessLogs.open(withLogs(shared, shared), realClock, () => {});
    assertEquals(same.errors, []);
    assert(same.at(shared) !== undefined && same.at(other) === undefined);
    using two = await AccessLogs.open(withLogs(shared, other), realClock, () => {});
    assert(two.at(shared) !== two.at(other));
  }));

Deno.test("a file that cannot be opened is one line, with its option", () =>
  inTempFolder(async (folder) => {
    const path = `${folder}/none/a.log`;
    using logs = await AccessLogs.open(withLogs(path, "off"), realClock, () => {});
    assertEquals(logs.errors, [
      `Cannot use "${path}" as access_log: its folder does not exist (from f.yaml line 6)`,
    ]);
    assertEquals(logs.at(path), undefined);
  }));

Deno.test("without a file there is nothing to open again", async () => {
  using logs = await AccessLogs.open(withLogs("off", "off"), realClock, () => {});
  assertEquals(logs.errors, []);
  logs.reopen();
});

Deno.test("other options open further files, and later close those that nobody names", () =>
  inTempFolder(async (folder) => {
    const [old, shared, other] = ["a", "b", "c"].map((name) => `${folder}/${name}.log`);
    const clock = new ManualClock();
    using logs = await AccessLogs.open(withLogs(old!, shared!), clock, () => {});
    const prepared = await logs.prepare(withLogs(shared!, other!));
    assert(!(prepared instanceof Array) && "add" in prepared);
    assertEquals(logs.at(other!), undefined);
    const [before, kept] = [logs.at(old!), logs.at(shared!)];
    prepared.add();
    prepared.keepOnly();
    assertEquals(logs.at(shared!), kept);
    // Lines that are on their way are still written.
    assertEquals(logs.at(old!), before);
    assertEquals((await before!.write(new TextEncoder().encode("late\n"))).lost, 0);
    await clock.advance(5_000);
    assertEquals(logs.at(old!), undefined);
    assertEquals(await Deno.readTextFile(old!), "late\n");
    assert(logs.at(other!) !== undefined);
  }));

Deno.test("files that were opened for options that are refused are closed again", () =>
  inTempFolder(async (folder) => {
    const [first, second] = [`${folder}/a.log`, `${folder}/b.log`];
    using logs = await AccessLogs.open(withLogs(first, "off"), realClock, () => {});
    const wrong = await logs.prepare(withLogs(second, `${folder}/none/c.log`));
    assertEquals((wrong as readonly string[]).length, 1);
    assert(logs.at(first) !== undefined && logs.at(second) === undefined);
  }));
