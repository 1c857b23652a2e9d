/**
 * Runs all tests, or the files and folders in the arguments. Passes their output on, then prints which files took
 * longest, the names of skipped tests, and one line of counts: `N passed, N failed, N skipped`.
 */
import { SLOW } from "./slow_tests.ts";

/** Test files that run at the same time. Scenarios mostly wait, so there are more of them than cores. */
const JOBS = navigator.hardwareConcurrency + 2;

/** With more tests than these, the files that took longest are shown. */
const MANY = 500;
const SLOWEST_SHOWN = 15;

/** The result of one test in the report of `deno test`. */
export interface Result {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Its file, and how long it took, in seconds. */
  readonly file: string;
  readonly seconds: number;
}

/** Parses a JUnit report of `deno test`; its structure is flat, so regular expressions suffice. */
export function readReport(xml: string): Result[] {
  const cases = xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs);
  const valueOf = (attributes: string, name: string) =>
    new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return [...cases].map(([, attributes = "", body = ""]) => ({
    name: unescape(valueOf(attributes, "name")),
    file: valueOf(attributes, "classname").replace(/^\.\//, ""),
    seconds: Number(valueOf(attributes, "time")),
    outcome: /<(failure|error)\b/.test(body)
      ? "failed"
      : body.includes("<skipped")
      ? "skipped"
      : "passed",
  }));
}

function unescape(text: string): string {
  const characters: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name) => characters[name]!);
}

/** The files that took longest together with how long, in seconds, the longest first. */
export function slowest(results: readonly Result[], count: number): (readonly [string, number])[] {
  const byFile = new Map<string, number>();
  for (const { file, seconds } of results) byFile.set(file, (byFile.get(file) ?? 0) + seconds);
  return [...byFile].toSorted(([, a], [, b]) => b - a).slice(0, count);
}

/** All test files: the slow ones first, then those with real processes, which mostly wait, then the others. */
export async function testFiles(root: string): Promise<string[]> {
  const files = (await Promise.all(["tests", "src", "scripts"].map((room) => filesIn(root, room))))
    .flat().filter((path) => path.endsWith("_test.ts"));
  return [
    ...SLOW.filter((path) => files.includes(path)),
    ...files.filter((path) => !SLOW.includes(path)),
  ];
}

async function filesIn(root: string, folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${root}/${folder}`)) {
    const path = `${folder}/${name}`;
    if (isDirectory) paths.push(...await filesIn(root, path));
    else paths.push(path);
  }
  return paths.sort();
}

async function main(): Promise<number> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "--quiet",
        "--parallel",
        "--no-check",
        "-A",
        `--junit-path=${report}`,
        ...(Deno.args.length > 0 ? Deno.args : await testFiles(".")),
      ],
      env: { DENO_JOBS: String(JOBS) },
    }).spawn().status;
    const results = readReport(await Deno.readTextFile(report));
    const count = (outcome: string) => results.filter((each) => each.outcome === outcome).length;
    if (results.length > MANY) {
      const longest = slowest(results, SLOWEST_SHOWN);
      console.log(
        longest.map(([file, seconds]) => `${seconds.toFixed(0)} s in ${file}`).join("\n"),
      );
    }
    for (const each of results) {
      if (each.outcome === "skipped") console.log(`skipped: ${each.name}`);
    }
    // A file that does not load reports no tests, but counts as a failure.
    const failed = code === 0 ? 0 : Math.max(1, count("failed"));
    console.log(`${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped`);
    return code;
  } finally {
    await Deno.remove(report);
  }
}

if (import.meta.main) Deno.exit(await main());
