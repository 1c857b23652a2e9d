import { assert, assertEquals } from "@std/assert";
import { realClock } from "../base/clock.ts";
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
    assertEquals([same.errors, same.hasFiles], [[], true]);
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
    assertEquals([logs.at(path), logs.hasFiles], [undefined, false]);
  }));

Deno.test("stdout and no log at all are no files to open again", async () => {
  using logs = await AccessLogs.open(withLogs("off", "off"), realClock, () => {});
  assertEquals([logs.errors, logs.hasFiles], [[], false]);
  logs.reopen();
});
