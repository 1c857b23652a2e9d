import { assertEquals } from "@std/assert";
import { readReport, slowest, testFiles } from "./test.ts";
import { isInstalled } from "../tests/harness/scenario.ts";
import { SLOW } from "./slow_tests.ts";

Deno.test("the test runner reads what passed, failed and was skipped from a report", () => {
  const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="3" failures="1" errors="0" time="0.1">
    <testsuite name="./a_test.ts" tests="3" disabled="1" errors="0" failures="1">
        <testcase name="keeps &quot;a &lt; b&quot; &amp; c" classname="./a_test.ts" time="0.1" line="1" col="6">
        </testcase>
        <testcase name="breaks" classname="./a_test.ts" time="0.0" line="2" col="6">
            <failure message="Uncaught Error: no">Error: no &lt;skipped/&gt;</failure>
        </testcase>
        <testcase name="needs redis" classname="./a_test.ts" line="3" col="6">
            <skipped/>
        </testcase>
    </testsuite>
</testsuites>`;
  assertEquals(readReport(report), [
    { name: 'keeps "a < b" & c', file: "a_test.ts", seconds: 0.1, outcome: "passed" },
    { name: "breaks", file: "a_test.ts", seconds: 0, outcome: "failed" },
    { name: "needs redis", file: "a_test.ts", seconds: 0, outcome: "skipped" },
  ]);
});

Deno.test("the files that took longest are those whose tests took longest together", () => {
  const result = (file: string, seconds: number) =>
    ({ name: "a test", outcome: "passed", file, seconds }) as const;
  const results = [result("a", 2), result("b", 3), result("a", 2), result("c", 1)];
  assertEquals(slowest(results, 2), [["a", 4], ["b", 3]]);
});

Deno.test("a run of all tests has each test file once, and begins with the slow ones", async () => {
  const root = new URL("..", import.meta.url).pathname;
  const files = await testFiles(root);
  assertEquals(files.slice(0, SLOW.length), SLOW, "a file of the list has moved");
  assertEquals(new Set(files).size, files.length);
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "*_test.ts"];
  // A copy of the sources without their history has nothing to compare with.
  if (!isInstalled("git")) return;
  const { success, stdout } = await new Deno.Command("git", { args, cwd: root }).output();
  if (!success) return;
  const known = new TextDecoder().decode(stdout).trim().split("\n");
  assertEquals(files.toSorted(), known.toSorted());
});
