/**
 * Runs all tests, or the files and folders in the arguments. Passes their output on, then prints which files took
 * longest, the output of those that failed, the names of skipped tests, and one line of counts:
 * `N passed, N failed, N skipped`.
 *
 * Each file has a process of its own. `deno test --parallel` runs files as threads of one: whenever one of them starts a
 * program, that holds a copy of the descriptors of all others for a moment, so that what they close stays open.
 */
import { FAILURES, TEST_RUN } from "../tests/harness/test_run.ts";
import { SLOW } from "./slow_tests.ts";

/** Processes that run at the same time. Scenarios mostly wait, so there are more of them than cores. */
const JOBS = navigator.hardwareConcurrency + 3;

/** The longest run, in milliseconds, and the time for the last words of one that takes longer. */
const MAX_MS = 27 * 60_000;
const LAST_WORDS_MS = 30_000;

/** How long the output of a process is read after its end, in milliseconds. */
const LAST_OUTPUT_MS = 1_000;

/** The exit code of a run that took too long, as that of `deno test` after SIGINT. */
const ENDED = 130;

/** The most that is shown again of the output of one file that failed, in characters. */
const SHOWN_MAX = 20_000;

/** The most that is kept of the output of one file, in characters: a test that prints for ever must not take all memory. */
const OUTPUT_MAX = 4_000_000;

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
 * Divides test files into those that run alone and groups. A process takes more time to start than most unit tests: those
 * of a room share one, and are the files of one thread.
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

/** How the tests of one process ended. */
interface Part {
  readonly path: string;
  readonly code: number;
  readonly results: readonly Result[];
  /** What it printed. */
  readonly output: string;
  /** Whether it wrote its report; one that panics or is killed does not. */
  readonly isWhole: boolean;
}

/** How a run ended. */
export interface Run {
  readonly code: number;
  readonly results: readonly Result[];
  readonly failed: number;
  /** What the files printed that failed, and what is known of failed tests whose file did not end by itself. */
  readonly failures: string;
}

/** Where and how a run takes place. */
export interface RunSettings {
  /** What all files share; see `tests/harness/test_run.ts`. */
  readonly folder: string;
  /** Arguments of each `deno test`. */
  readonly flags?: readonly string[];
  /** Aborts when the run takes too long. */
  readonly overdue: AbortSignal;
  /** Called with the output of a file when that has ended. */
  readonly print: (output: string) => void;
}

/** Runs `deno test` with each of these files, several at a time, until all have ended or `overdue` aborts. */
export async function runTests(paths: readonly string[], settings: RunSettings): Promise<Run> {
  const { folder, overdue, print } = settings;
  // Database servers, which do not run as root, write there.
  await Deno.chmod(folder, 0o777);
  const left = [...paths.entries()];
  const parts: Part[] = [];
  const work = async () => {
    for (let next = left.shift(); next !== undefined && !overdue.aborted; next = left.shift()) {
      const part = await runPart(next[1], `${folder}/report_${next[0]}.xml`, settings);
      parts.push(part);
      print(part.output);
    }
  };
  await Promise.all(Array.from({ length: Math.min(JOBS, paths.length) }, work));
  const notes = parts.every(({ isWhole }) => isWhole) && !overdue.aborted
    ? ""
    : await textOf(`${folder}/${FAILURES}`);
  return {
    ...summary(parts),
    ...overdue.aborted ? { code: ENDED } : {},
    failures: told(parts) + notes,
  };
}

/** Runs one file in a process of its own. */
async function runPart(
  path: string,
  report: string,
  { folder, flags = [], overdue }: RunSettings,
): Promise<Part> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--quiet", "--no-check", "-A", `--junit-path=${report}`, ...flags, path],
    env: { [TEST_RUN]: folder },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = () => {
    // Then it names the tests that still run, and writes its report.
    child.kill("SIGINT");
    timer = setTimeout(() => child.kill("SIGKILL"), LAST_WORDS_MS);
  };
  overdue.addEventListener("abort", end);
  const [{ code }, ...texts] = await Promise.all([
    child.status.finally(() => {
      overdue.removeEventListener("abort", end);
      clearTimeout(timer);
    }),
    // A program that outlives its test may hold the pipe.
    ...[child.stdout, child.stderr].map((pipe) => textUntil(pipe, child.status)),
  ]);
  const xml = await textOf(report);
  // A report may name the helper that has defined a test, and not the file that has called it.
  const results = readReport(xml).map((each) =>
    each.file.endsWith("_test.ts") ? each : { ...each, file: path }
  );
  return { path, code, results, output: texts.join(""), isWhole: xml !== "" };
}

/** The end of what comes out of a pipe until its end, or until shortly after the process has ended. */
async function textUntil(
  pipe: ReadableStream<Uint8Array>,
  ended: Promise<unknown>,
): Promise<string> {
  const reader = pipe.pipeThrough(new TextDecoderStream()).getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isRead = false;
  void ended.then(() => {
    if (!isRead) timer = setTimeout(() => void reader.cancel(), LAST_OUTPUT_MS);
  });
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
    if (text.length > 2 * OUTPUT_MAX) text = text.slice(-OUTPUT_MAX);
  }
  isRead = true;
  clearTimeout(timer);
  return text;
}

function summary(parts: readonly Part[]): Omit<Run, "failures"> {
  const results = parts.flatMap((part) => part.results);
  // A file that does not load reports no tests, but counts as a failure.
  const failedIn = ({ code, results }: Part) =>
    code === 0 ? 0 : Math.max(1, results.filter(({ outcome }) => outcome === "failed").length);
  const failed = parts.reduce((sum, part) => sum + failedIn(part), 0);
  return { code: parts.find(({ code }) => code !== 0)?.code ?? 0, results, failed };
}

/** What the files printed that failed, beginning with their errors. */
function told(parts: readonly Part[]): string {
  return parts.filter(({ code }) => code !== 0).map(({ path, code, output }) => {
    const errors = output.slice(Math.max(0, output.indexOf(" ERRORS ")));
    return `${path} ended with exit code ${code}:\n${errors.slice(-SHOWN_MAX)}\n`;
  }).join("\n");
}

async function textOf(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}

/** The test files that these arguments name, as files or as folders; the others are flags. */
async function named(args: readonly string[]): Promise<{ paths: string[]; flags: string[] }> {
  const [paths, flags]: [string[], string[]] = [[], []];
  for (const arg of args) {
    if (arg.startsWith("-")) flags.push(arg);
    else if ((await Deno.stat(arg).catch(() => undefined))?.isDirectory !== true) paths.push(arg);
    else paths.push(...(await filesIn(".", arg)).filter((path) => path.endsWith("_test.ts")));
  }
  return { paths, flags };
}

async function main(): Promise<number> {
  const folder = await Deno.makeTempDir({ prefix: "t" });
  try {
    const { paths, flags } = await named(Deno.args);
    const { alone, groups } = grouped(paths.length > 0 ? [] : await testFiles("."));
    const files = [...paths, ...alone, ...await writeGroups(groups, folder)];
    const overdue = AbortSignal.timeout(MAX_MS);
    overdue.addEventListener("abort", () => console.log("the tests take too long"));
    const settings = { folder, flags, overdue, print: (text: string) => console.log(text.trim()) };
    const { code, results, failed, failures } = await runTests(files, settings);
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
    if (failures !== "") console.log(failures);
    console.log(`${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped`);
    return code;
  } finally {
    // Processes that outlive a run that broke off may still write there, which is no failure of a test.
    await Deno.remove(folder, { recursive: true }).catch(({ message }) => console.log(message));
  }
}

if (import.meta.main) Deno.exit(await main());
