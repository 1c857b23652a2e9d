/**
 * Runs all tests, or the files and folders in the arguments. Passes their output on, then prints the names of
 * skipped tests and one line of counts: `N passed, N failed, N skipped`.
 */

/** Test files that run at the same time. Scenarios mostly wait, so there are more of them than cores. */
const JOBS = Math.max(4, navigator.hardwareConcurrency);

/** The result of one test in the report of `deno test`. */
export interface Result {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

/** Parses a JUnit report of `deno test`; its structure is flat, so regular expressions suffice. */
export function readReport(xml: string): Result[] {
  const cases = xml.matchAll(/<testcase\b[^>]*?\bname="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs);
  return [...cases].map(([, name, body = ""]) => ({
    name: unescape(name!),
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
        ...Deno.args,
      ],
      env: { DENO_JOBS: String(JOBS) },
    }).spawn().status;
    const results = readReport(await Deno.readTextFile(report));
    const count = (outcome: string) => results.filter((each) => each.outcome === outcome).length;
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
