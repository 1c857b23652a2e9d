/** The demo that the README begins with. */
import { assert, assertEquals } from "@std/assert";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";

const DEMO = new URL("../../scripts/demo.ts", import.meta.url).pathname;

Deno.test("the demo ends by itself and shows that no client request failed", async () => {
  const output: string[] = [];
  const take = (line: string) => output.push(line);
  await using demo = new Child(Deno.execPath(), { args: ["run", "-A", DEMO], onOut: take });
  const { code } = await withTestDeadline("the demo", demo.ended, () => output.join("\n"));

  assertEquals(code, 0, output.join("\n"));
  assert(output.includes("  failed: 0"), output.join("\n"));
  const served = output.find((line) => line.startsWith("  requests served:")) ?? "";
  assert(/by the primary/.test(served) && /by the backup/.test(served), output.join("\n"));
});
