import { assertEquals, assertMatch } from "@std/assert";
import { grouped, readReport, runTests, slowest, testFiles } from "./test.ts";
import { Folder } from "../tests/harness/folder.ts";
import { withTestDeadline } from "../tests/harness/test_deadline.ts";
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

Deno.test("each test file runs alone or in one group, and groups have short files of one room", async () => {
  const files = await testFiles(new URL("..", import.meta.url).pathname);
  const { alone, groups } = grouped(files);
  assertEquals([...alone, ...groups.flatMap((each) => each.files)].toSorted(), files.toSorted());
  assertEquals(new Set(groups.map(({ name }) => name)).size, groups.length);
  assertEquals(SLOW.filter((path) => !alone.includes(path)), []);
  for (const { name, files } of groups) {
    const rooms = new Set(files.map((path) => path.split("/").slice(0, 2).join("/")));
    assertEquals([...rooms], [`src/${name.replace(/_\d+_test\.ts$/, "")}`]);
  }
});

/** The real harness, in a file elsewhere. */
const SCENARIO = new URL("../tests/harness/scenario.ts", import.meta.url).href;
const FAILS = `testWithPrograms("fails", [], () => Promise.reject(new Error("the reason")));`;

/** Runs a file with this text; it is overdue when it has written the file `hangs`. */
async function runOf(text: string) {
  await using folder = await Folder.make();
  const path = await folder.write(
    "some_test.ts",
    `import { testWithPrograms } from ${JSON.stringify(SCENARIO)};\n${text}`,
  );
  const overdue = new AbortController();
  const ended = runTests([path], folder.path, overdue.signal, "null");
  if (text.includes("hangs")) {
    await folder.has("hangs");
    overdue.abort();
  }
  const { code, results, failures } = await withTestDeadline("a run to end", ended);
  return { code, outcomes: results.map(({ name, outcome }) => `${name} ${outcome}`), failures };
}

Deno.test("a run that takes too long is ended: what did not end has failed, and what failed before is said", async () => {
  const { code, outcomes, failures } = await runOf(`${FAILS}
    Deno.test("hangs", async () => {
      await Deno.writeTextFile(new URL("hangs", import.meta.url), "");
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });
  `);
  assertEquals([code, outcomes], [130, ["fails failed", "hangs failed"]]);
  assertMatch(failures, /^fails\nError: the reason\n/);
});

Deno.test("a run that breaks off says what failed before", async () => {
  const dies = `Deno.test("dies", () => Deno.kill(Deno.pid, "SIGKILL"));`;
  const { code, outcomes, failures } = await runOf(FAILS + dies);
  assertEquals([code, outcomes], [137, []]);
  assertMatch(failures, /^fails\nError: the reason\n/);
});

Deno.test("a run that ends by itself says nothing twice", async () => {
  const { code, outcomes, failures } = await runOf(FAILS);
  assertEquals([code, outcomes, failures], [1, ["fails failed"], ""]);
});
