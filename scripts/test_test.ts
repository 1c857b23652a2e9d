import { assert, assertEquals, assertMatch } from "@std/assert";
import { stripVTControlCharacters } from "node:util";
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

/** How the harness notes it. */
const NOTED = /^fails\nError: the reason\n/m;

/** Runs a file with this text; it is overdue when it has written the file `hangs`. */
async function runOf(text: string) {
  await using folder = await Folder.make();
  const path = await folder.write(
    "some_test.ts",
    `import { testWithPrograms } from ${JSON.stringify(SCENARIO)};\n${text}`,
  );
  const overdue = new AbortController();
  let printed = "";
  const settings = {
    folder: folder.path,
    overdue: overdue.signal,
    print: (text: string) => printed += text,
  };
  const ended = runTests([path], settings);
  if (text.includes("hangs")) {
    await folder.has("hangs");
    overdue.abort();
  }
  const { results, ...run } = await withTestDeadline("a run to end", ended);
  const outcomes = results.map(({ name, outcome }) => `${name} ${outcome}`);
  return { ...run, outcomes, files: new Set(results.map(({ file }) => file)), path, printed };
}

Deno.test("a run that takes too long is ended: what did not end has failed, and what failed before is said", async () => {
  const { code, outcomes, failed, failures } = await runOf(`${FAILS}
    Deno.test("hangs", async () => {
      await Deno.writeTextFile(new URL("hangs", import.meta.url), "");
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });
  `);
  assertEquals([code, outcomes, failed], [130, ["fails failed", "hangs failed"], 2]);
  assertMatch(failures, NOTED);
});

Deno.test("a run that breaks off says what failed before", async () => {
  const dies = `Deno.test("dies", () => Deno.kill(Deno.pid, "SIGKILL"));`;
  const { code, outcomes, failed, failures } = await runOf(FAILS + dies);
  assertEquals([code, outcomes, failed], [137, [], 1]);
  assertMatch(failures, NOTED);
});

Deno.test("a run that ends by itself shows what a file printed that failed, and says nothing twice", async () => {
  const { code, outcomes, files, path, failed, printed, ...run } = await runOf(FAILS);
  const failures = stripVTControlCharacters(run.failures);
  assertEquals([code, outcomes, failed], [1, ["fails failed"], 1]);
  assertMatch(
    failures,
    /^\S*some_test.ts ended with exit code 1:\n.*ERRORS.*error: Error: the reason/s,
  );
  assert(!NOTED.test(failures), failures);
  assertEquals([...files], [path], "and not the helper in which the test is defined");
  assertMatch(stripVTControlCharacters(printed), /fails \.\.\. FAILED/);
});

Deno.test("each file has its own process, and one that does not load is a failure beside the results of the others", async () => {
  await using folder = await Folder.make();
  const files = {
    a: `Deno.test("has a process", () => Deno.writeTextFile(new URL("a", import.meta.url), String(Deno.pid)));`,
    b: `Deno.test("has another one", () => Deno.writeTextFile(new URL("b", import.meta.url), String(Deno.pid)));`,
    c: `throw new Error("no tests");`,
  };
  const paths = await Promise.all(
    Object.entries(files).map(([name, text]) => folder.write(`${name}_test.ts`, text)),
  );
  const printed: string[] = [];
  const ended = runTests(paths, {
    folder: folder.path,
    flags: ["--no-lock"],
    overdue: new AbortController().signal,
    print: (text) => printed.push(text),
  });
  const { code, results, failed, failures } = await withTestDeadline("a run to end", ended);
  assertEquals([code, failed, printed.length], [1, 1, 3]);
  const outcomes = results.map(({ name, outcome }) => `${name} ${outcome}`).toSorted();
  assertEquals(outcomes, ["has a process passed", "has another one passed"]);
  assertMatch(failures, /c_test.ts ended with exit code 1:.*no tests/s);
  const pids = await Promise.all(
    ["a", "b"].map((name) => Deno.readTextFile(`${folder.path}/${name}`)),
  );
  assertEquals(new Set([...pids, String(Deno.pid)]).size, 3);
});

Deno.test("of a file that prints more than it may, the end is kept", async () => {
  const { outcomes, printed } = await runOf(`Deno.test("prints", () => {
    const line = "x".repeat(999);
    for (let count = 0; count < 20_000; count++) console.log(line);
  });`);
  assertEquals(outcomes, ["prints passed"]);
  assert(printed.length < 10_000_000, `${printed.length} characters`);
  assertMatch(stripVTControlCharacters(printed), /1 passed/);
});
