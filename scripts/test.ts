/**
 * Runs the tests (all, or the files and folders given), with their output as it comes, and ends with the
 * names of those that were skipped and one line of counts: `N passed, N failed, N skipped`.
 */

/** Scenarios wait far more than they compute, so more of them run at once than there are cores. */
const JOBS = Math.max(4, navigator.hardwareConcurrency);

/** What `deno test` wrote of one test into its report. */
export interface Result {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

/** Reads a JUnit report as `deno test` writes it, which is flat enough for patterns. */
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
    // A file that doesn't load has no tests to fail, but it has failed.
    const failed = code === 0 ? 0 : Math.max(1, count("failed"));
    console.log(`${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped`);
    return code;
  } finally {
    await Deno.remove(report);
  }
}

if (import.meta.main) Deno.exit(await main());
