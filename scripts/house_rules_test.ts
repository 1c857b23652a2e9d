import { assertEquals, assertMatch } from "@std/assert";
import {
  cycles,
  doubleNames,
  misplacedTestCode,
  tooLong,
  unlisted,
  untested,
  withoutDoor,
  wrongReasons,
} from "./house_rules.ts";

const body = (lines: number, indent = "  ") => `${indent}work();\n`.repeat(lines);

Deno.test("a file of more than 400 lines is a breach", () => {
  assertEquals(tooLong({ path: "base/x.ts", text: "x\n".repeat(400) }), []);
  assertMatch(tooLong({ path: "base/x.ts", text: "x\n".repeat(401) })[0]!, /401 lines/);
  const test = { path: "harness/x.ts", text: "x\n".repeat(401) };
  assertMatch(tooLong(test, "tests")[0]!, /^tests\/harness\/x\.ts: 401 lines/);
});

Deno.test("a function or method of more than 70 lines is a breach", () => {
  const short = `export async function short(\n  a: number,\n): void {\n${body(66)}}\n`;
  assertEquals(tooLong({ path: "base/x.ts", text: short }), []);
  const long = `export function long(a: number): void {\n${body(69)}}\n`;
  assertMatch(tooLong({ path: "base/x.ts", text: long })[0]!, /long has 71 lines/);
  const method = `class A {\n  async #run(a: number): void {\n${body(70, "    ")}  }\n}\n`;
  assertMatch(tooLong({ path: "base/x.ts", text: method })[0]!, /#run has 72 lines/);
});

Deno.test("a call with a long block is not a function", () => {
  const text = `class A {\n  constructor() {\n    run(() => {\n${
    body(60, "      ")
  }    });\n  }\n}\n`;
  assertEquals(tooLong({ path: "base/x.ts", text }), []);
});

Deno.test("test code belongs in tests and testing folders only", () => {
  const text = `Deno.test("x", () => {});\n`;
  assertEquals(misplacedTestCode({ path: "a/x_test.ts", text }), []);
  assertEquals(misplacedTestCode({ path: "a/testing/x.ts", text }), []);
  assertMatch(misplacedTestCode({ path: "a/x.ts", text })[0]!, /belongs in a test/);
  assertEquals(misplacedTestCode({ path: "a/x.ts", text: "// Deno.test\n" }), []);
});

Deno.test("a source without a test needs a reason, and a reason for a source with a test must be removed", () => {
  const paths = ["a/x.ts", "a/x_test.ts", "a/y.ts", "a/testing/z.ts"];
  assertEquals(untested(paths, { "a/y.ts": "types only" }), []);
  assertMatch(untested(paths, {})[0]!, /a\/y\.ts: no unit test/);
  assertMatch(untested(paths, { "a/y.ts": "types", "a/x.ts": "old" })[0]!, /a\/x\.ts: has a unit/);
});

Deno.test("the reason for an exception must be true", () => {
  const wrong = (text: string, reason: string) =>
    wrongReasons([{ path: "a/x.ts", text }], { "a/x.ts": reason }, (path) => path === "b_test.ts");
  const types = "export interface A {}\nexport class B extends Error {}\nexport const C = 1;\n";
  assertEquals([wrong(types, "types only"), wrong("", "elsewhere: b_test.ts")], [[], []]);
  for (
    const code of ["export function f() {}\n", "async function f() {}\n", "export class D {}\n"]
  ) {
    assertMatch(wrong(types + code, "types only")[0]!, /a\/x\.ts: has more than types/);
  }
  assertMatch(wrong("", "elsewhere: c_test.ts")[0]!, /the path of its tests/);
  assertMatch(wrong("", "elsewhere")[0]!, /the path of its tests/);
});

Deno.test("every room has a door file", () => {
  assertEquals(withoutDoor(["a/a.ts", "b/c.ts", "main.ts"], { b: ["c.ts"] }), []);
  assertMatch(withoutDoor(["a/b.ts"], {})[0]!, /door a\.ts is missing/);
});

Deno.test("a cycle of imports between rooms is a breach, also through other rooms", () => {
  assertEquals(cycles({ a: ["b", "c"], b: ["c"], c: [] }), []);
  assertEquals(cycles({ a: ["b"], b: ["c"], c: ["a"], d: ["a"] }).map((line) => line.slice(0, 6)), [
    "src/a/",
    "src/b/",
    "src/c/",
  ]);
});

Deno.test("the table of imports, the folders and the page with the tree list the same rooms", () => {
  const page = "├── main.ts     argv\n├── a/        one\n└── b/        two\n";
  const paths = ["main.ts", "a/a.ts", "b/b.ts"];
  assertEquals(unlisted(paths, { a: [], b: [] }, page), []);
  assertEquals(unlisted([...paths, "c/c.ts"], { a: [], b: [], c: [], d: [] }, page), [
    "src/d/: is in the table of imports and does not exist",
    "src/c/: is not in the tree of .github/ARCHITECTURE.md",
  ]);
  assertEquals(unlisted(["a/a.ts"], { a: [] }, page), [
    ".github/ARCHITECTURE.md: lists src/b/, which does not exist",
  ]);
});

Deno.test("an exported name has one home; overloads, tests and names that are not exported do not count", () => {
  const one = {
    path: "a/x.ts",
    text: "export class Route {}\nexport function f(a: 1): 1;\nexport function f(): 2 {}\n",
  };
  const other = { path: "b/y.ts", text: "class Route {}\nexport const g = 1;\n" };
  const test = { path: "b/y_test.ts", text: "export class Route {}\n" };
  assertEquals(doubleNames([one, other, test]), []);
  const third = {
    path: "c/z.ts",
    text: "export interface Route {}\nexport async function f() {}\n",
  };
  assertEquals(doubleNames([one, other, third]), [
    "src/c/z.ts: exports Route, as src/a/x.ts does; rename one",
    "src/c/z.ts: exports f, as src/a/x.ts does; rename one",
  ]);
});
