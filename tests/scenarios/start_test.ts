/** What the program loads at its start, tested by removing it: here Hono cannot be loaded. */
import { assert, assertEquals } from "@std/assert";
import { Child } from "../harness/child.ts";
import { ask } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { EXECUTABLE } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import config from "../../deno.json" with { type: "json" };
import { unusedPort } from "../../src/base/testing/ports.ts";

const [RUN, ...REST] = EXECUTABLE;

/** Starts the proxy with an import map in which Hono does not exist. */
async function startWithoutHono(folder: Folder, args: string[], onErr: (line: string) => void) {
  const imports = { ...config.imports, hono: "file:///nowhere/hono.ts" };
  const map = await folder.write("imports.json", JSON.stringify({ imports }));
  return new Child(Deno.execPath(), {
    args: [RUN!, `--import-map=${map}`, ...REST, ...args],
    onErr,
  });
}

scenario("TCP mode runs without Hono", async ({ relay }) => {
  await using folder = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  const bind = `127.0.0.1:${unusedPort()}`;
  const opened = Promise.withResolvers<void>();
  const log: string[] = [];
  const args = ["--json-logs", "--bind", bind, "--hosts", primary.name, "--relay", relay];
  await using proxy = await startWithoutHono(folder, args, (line) => {
    log.push(line);
    if (line.includes('"port.opened"')) opened.resolve();
  });
  await withTestDeadline(
    "the port",
    Promise.race([opened.promise, proxy.ended]),
    () => log.join("\n"),
  );

  assert(!proxy.hasEnded, log.join("\n"));
  assertEquals(await ask(bind), "primary");
});

Deno.test("HTTP mode needs Hono, so its absence is noticed and the test above is effective", async () => {
  await using folder = await Folder.make();
  const log: string[] = [];
  const args = ["-b", "127.0.0.1:0", "-H", "127.0.0.1:1", "--admin", "127.0.0.1:0"];
  await using proxy = await startWithoutHono(folder, args, (line) => log.push(line));
  const { code } = await withTestDeadline("its end", proxy.ended, () => log.join("\n"));

  assertEquals(code, 1);
  assert(log.some((line) => line.includes("nowhere/hono.ts")), log.join("\n"));
});
