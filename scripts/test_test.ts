import { assertEquals } from "@std/assert";
import { readReport } from "./test.ts";

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
    { name: 'keeps "a < b" & c', outcome: "passed" },
    { name: "breaks", outcome: "failed" },
    { name: "needs redis", outcome: "skipped" },
  ]);
});
