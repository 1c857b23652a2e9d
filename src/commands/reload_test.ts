import { assertEquals, assertStringIncludes } from "@std/assert";
import { reloadCommand } from "./reload.ts";

/** Runs the command against this answer. */
async function run(
  status: number,
  body: Record<string, unknown>,
  { dryRun = false, json = false } = {},
) {
  const [out, err, asked]: [string[], string[], string[]] = [[], [], []];
  const code = await reloadCommand(
    { switches: new Set(dryRun ? ["dry-run"] : []), json },
    {
      order(path) {
        asked.push(path);
        return Promise.resolve({ status, body });
      },
    },
    { out: (text) => out.push(text), err: (text) => err.push(text) },
  );
  return { code, out: out.join("\n"), err: err.join("\n"), asked };
}

Deno.test("what has changed is printed, with the warnings on stderr", async () => {
  const body = { outcome: "applied", changes: ["log_level info → debug"], warnings: ["hm"] };
  const { code, out, err, asked } = await run(200, body);
  assertEquals([code, asked], [0, ["reload"]]);
  assertEquals(out, "reload: done\n  log_level info → debug");
  assertEquals(err, "failover: warning: hm");
});

Deno.test("a dry run says what would change", async () => {
  const body = { outcome: "possible", changes: ["service a goes"], warnings: [] };
  const { code, out, asked } = await run(200, body, { dryRun: true });
  assertEquals([code, asked], [0, ["reload?dry_run=true"]]);
  assertEquals(out, "reload: this would change\n  service a goes");
  const { out: same } = await run(200, { outcome: "unchanged", changes: [], warnings: [] });
  assertEquals(same, "reload: nothing has changed");
});

Deno.test("a refusal prints all lines of a wrong start, and has its exit code", async () => {
  const body = { outcome: "refused", error: "one\ntwo", errors: ["one", "two"], changes: [] };
  const { code, out, err } = await run(409, body);
  assertEquals([code, out, err], [2, "", "failover: one\nfailover: two"]);
  const { out: json } = await run(409, body, { json: true });
  assertStringIncludes(json, '"outcome": "refused"');
});

Deno.test("a proxy that knows no reload says so", async () => {
  const { code, err } = await run(404, { error: "no such endpoint" });
  assertEquals([code, err], [64, "failover: no such endpoint"]);
});
