/**
 * Runs all tests, or the files and folders in the arguments. Passes their output on, then prints which files took
 * longest, the names of skipped tests, and one line of counts: `N passed, N failed, N skipped`.
 */
import { FAILURES, TEST_RUN } from "../tests/harness/test_run.ts";
import { SLOW } from "./slow_tests.ts";

/** Test files that run at the same time. Scenarios mostly wait, so there are more of them than cores. */
const JOBS = navigator.hardwareConcurrency + 3;

/** The longest run, in milliseconds, and the time for the last words of one that takes longer. */
const MAX_MS = 27 * 60_000;
const LAST_WORDS_MS = 30_000;

/** The exit code of `deno test` after SIGINT. */
const ENDED = 130;

/** Files of a group, at most. */
const GROUP = 12;

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

/** Short files of one room that run together. */
export interface Group {
  readonly name: string;
  readonly files: readonly string[];
}

/**
 * Divides test files into those that run alone and groups. `deno test` starts a thread for each file that it is given,
 * which takes more time than most unit tests: those of a room share one.
 */
export function grouped(files: readonly string[]): { alone: string[]; groups: Group[] } {
  const isShort = (path: string) => path.startsWith("src/") && !SLOW.includes(path);
  const rooms = Map.groupBy(files.filter(isShort), (path) => path.split("/")[1]!);
  const groups = [...rooms].flatMap(([room, all]) =>
    Array.from({ length: Math.ceil(all.length / GROUP) }, (_, index) => ({
      name: `${room}_${index + 1}_test.ts`,
      files: all.slice(index * GROUP, (index + 1) * GROUP),
    }))
  );
  return { alone: files.filter((path) => !isShort(path)), groups };
}

/** Writes a module for each group; resolves with their paths. */
async function writeGroups(groups: readonly Group[], folder: string): Promise<string[]> {
  const root = new URL("..", import.meta.url);
  return await Promise.all(groups.map(async ({ name, files }) => {
    const imports = files.map((path) => `import ${JSON.stringify(new URL(path, root).href)};\n`);
    await Deno.writeTextFile(`${folder}/${name}`, imports.join(""));
    return `${folder}/${name}`;
  }));
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

/** How a run ended. */
export interface Run {
  readonly code: number;
  readonly results: readonly Result[];
  /** What is known of failed tests if the run did not end by itself, or broke off. */
  readonly failures: string;
}

/** Runs `deno test` with these files and folders, until its end or until `overdue` aborts. */
export async function runTests(
  args: readonly string[],
  folder: string,
  overdue: AbortSignal,
  output: "inherit" | "null" = "inherit",
): Promise<Run> {
  const report = `${folder}/report.xml`;
  // Database servers, which do not run as root, write there.
  await Deno.chmod(folder, 0o777);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--quiet", "--parallel", "--no-check", "-A", `--junit-path=${report}`, ...args],
    env: { DENO_JOBS: String(JOBS), [TEST_RUN]: folder },
    stdout: output,
    stderr: output,
  }).spawn();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = () => {
    console.log("the tests take too long");
    // Then it names the tests that still run, and writes its report.
    child.kill("SIGINT");
    timer = setTimeout(() => child.kill("SIGKILL"), LAST_WORDS_MS);
  };
  overdue.addEventListener("abort", end);
  const { code } = await child.status;
  overdue.removeEventListener("abort", end);
  clearTimeout(timer);
  const xml = await textOf(report);
  const failures = xml === "" || overdue.aborted ? await textOf(`${folder}/${FAILURES}`) : "";
  return { code, results: readReport(xml), failures };
}

async function textOf(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}

async function main(): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "t" });
  try {
    const { alone, groups } = grouped(Deno.args.length > 0 ? [] : await testFiles("."));
    const args = [...Deno.args, ...alone, ...await writeGroups(groups, folder)];
    const { code, results, failures } = await runTests(args, folder, AbortSignal.timeout(MAX_MS));
    const count = (outcome: string) => results.filter((each) => each.outcome === outcome).length;
    if (results.length > MANY) {
      const longest = slowest(results, SLOWEST_SHOWN);
      console.log(
        longest.map(([file, seconds]) => `${seconds.toFixed(0)} s in ${file}`).join("\n"),
      );
    }
    // Of a run that was ended, tests that were not reached count as skipped.
    for (const each of code === ENDED ? [] : results) {
      if (each.outcome === "skipped") console.log(`skipped: ${each.name}`);
    }
    if (failures !== "") console.log(`failed before the end:\n${failures}`);
    // A file that does not load reports no tests, but counts as a failure.
    const failed = code === 0 ? 0 : Math.max(1, count("failed"));
    console.log(`${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped`);
    return code;
  } finally {
    // Processes that outlive a run that broke off may still write there, which is no failure of a test.
    await Deno.remove(folder, { recursive: true }).catch(({ message }) => console.log(message));
  }
}

if (import.meta.main) Deno.exit(await main());
