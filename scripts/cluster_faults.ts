/**
 * `deno task cluster [COUNT] [--seed N] [--jobs N] [--servers postgres|recorders] [--only TEXT]`: runs random schedules of faults
 * against three real proxies and three real etcd with a pair of PostgreSQL servers behind them
 * (`tests/cluster/schedule.ts`), two at a time, and prints what happened. With `--only` those faults alone happen whose
 * names contain the text. With `--write` the table goes into
 * `.github/docs/cluster.md`. A schedule takes about 45 s; after Ctrl-C those that run are the last ones. What explains a
 * broken rule is kept in a folder that is named then. Needs root, for mount namespaces. Exit code 1 if a rule was broken.
 */
import { parseArgs } from "@std/cli/parse-args";
import { isInstalled } from "../tests/harness/scenario.ts";
import { canSlowDisks } from "../tests/cluster/slow_disk.ts";
import { postgresTemplate } from "../tests/cluster/postgres_servers.ts";
import {
  BACK_MS,
  faultsFor,
  type Outcome,
  runSchedule,
  SCHEDULE_NEEDS,
  type ScheduleOptions,
} from "../tests/cluster/schedule.ts";

const PAGE = new URL("../.github/docs/cluster.md", import.meta.url);
/** The lines of a history that are printed, and how many at most. */
const TELLING = /FAULT|trigger |client of|agent: db|promotion\.|decision\.|lead\.|server\.promo/;
const HISTORY_LINES_MAX = 120;
/** A schedule has ended long before, in milliseconds. */
const SCHEDULE_MS = 300_000;
const [BEGIN, END] = ["<!-- cluster-faults -->", "<!-- /cluster-faults -->"];

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, {
    string: ["seed", "jobs", "servers", "only"],
    boolean: ["write"],
  });
  const kind = args.servers ?? "postgres";
  if (kind !== "postgres" && kind !== "recorders") {
    console.error("--servers is postgres or recorders");
    return 2;
  }
  const faults = Object.keys(faultsFor(kind)).filter((name) => name.includes(`${args.only ?? ""}`));
  if (faults.length === 0) {
    console.error(`no fault contains "${args.only}"`);
    return 2;
  }
  const missing = SCHEDULE_NEEDS.filter((each) => !isInstalled(each));
  if (!canSlowDisks()) missing.push("strace that may trace");
  if (missing.length > 0) {
    console.error(`this needs ${missing.join(", ")}`);
    return 2;
  }
  const [count, first, jobs] = [args._[0] ?? 200, args.seed ?? 1, args.jobs ?? 2].map(Number);
  if (![count, first, jobs].every((each) => Number.isSafeInteger(each) && each! > 0)) {
    console.error("COUNT, --seed and --jobs are whole numbers above 0");
    return 2;
  }
  const seeds = { next: first!, end: first! + count! };
  Deno.addSignalListener("SIGINT", () => seeds.end = 0);
  const template = kind === "postgres" ? await postgresTemplate() : undefined;
  try {
    const options = { faults, ...template === undefined ? {} : { template } };
    const outcomes = (await Promise.all(
      Array.from({ length: jobs! }, () => work(seeds, options)),
    )).flat();
    const text = tableOf(outcomes, faults);
    console.log(text);
    if (args.write) await writeTable(text);
    return outcomes.some(({ breaches }) => breaches.length > 0) ? 1 : 0;
  } finally {
    await template?.[Symbol.asyncDispose]();
  }
}

/** Runs one schedule after another as long as there are seeds. */
async function work(
  seeds: { next: number; readonly end: number },
  options: ScheduleOptions,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  while (seeds.next < seeds.end) {
    const seed = seeds.next++;
    try {
      const running = runSchedule(seed, options);
      const outcome = await Promise.race([running, tooLong()]);
      outcomes.push(outcome);
      console.error(linesOf(outcome) + await historyOf(outcome));
    } catch (error) {
      console.error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
      outcomes.push({
        ...{ seed, faults: [], backMs: 0, promotions: 0, acknowledged: 0, evidence: undefined },
        breaches: ["the schedule did not run to its end"],
      });
    }
  }
  return outcomes;
}

/** Rejects when a schedule has taken longer than any one can: what it has started may then still run. */
async function tooLong(): Promise<never> {
  await new Promise<void>((resolve) => Deno.unrefTimer(setTimeout(resolve, SCHEDULE_MS)));
  throw new Error(`it took more than ${SCHEDULE_MS / 1_000} s`);
}

/** What is printed when a schedule has ended; more if a rule was broken. */
function linesOf(outcome: Outcome): string {
  const { seed, breaches, faults, backMs, promotions, acknowledged, evidence } = outcome;
  const line = `seed ${seed}: ${faults.length} faults, ${promotions} promotions, ` +
    `${acknowledged} writes, back after ${Math.round(backMs)} ms`;
  if (breaches.length === 0) return line;
  const clock = (at: number) => new Date(at).toISOString().slice(11, 19);
  return [
    line,
    ...breaches.slice(0, 20).map((each) => `  BROKEN: ${each}`),
    ...faults.map(({ name, at, until }) => `  ${clock(at)} to ${clock(until ?? at)} ${name}`),
    `  everything is in ${evidence}: begin with history.txt`,
  ].join("\n");
}

/** The part of the kept history that tells of faults and decisions. */
async function historyOf({ evidence }: Outcome): Promise<string> {
  if (evidence === undefined) return "";
  const lines = (await Deno.readTextFile(`${evidence}/history.txt`)).split("\n")
    .filter((line) => TELLING.test(line)).map((line) => `\n    ${line.slice(0, 200)}`);
  return lines.slice(-HISTORY_LINES_MAX).join("");
}

/** One row for each fault, and the sums. */
function tableOf(outcomes: readonly Outcome[], faults: readonly string[]): string {
  const seconds = (ms: number) => (ms / 1_000).toFixed(1);
  const hits = (outcome: Outcome, name: string) =>
    outcome.faults.filter((each) => each.name === name && !each.isMissed).length;
  const rows = faults.map((name) => {
    const those = outcomes.filter((each) => hits(each, name) > 0);
    const times = outcomes.reduce((total, each) => total + hits(each, name), 0);
    const broken = those.filter(({ breaches }) => breaches.length > 0).length;
    const worst = Math.max(0, ...those.map(({ backMs }) => backMs));
    return `| ${name} | ${times} | ${those.length} | ${broken} | ${seconds(worst)} |`;
  });
  const sum = (read: (outcome: Outcome) => number) =>
    outcomes.reduce((total, each) => total + read(each), 0);
  const broken = outcomes.filter(({ breaches }) => breaches.length > 0).length;
  return [
    `${outcomes.length} schedules, ${sum((each) => each.faults.length)} faults, ` +
    `${sum(({ promotions }) => promotions)} promotions, ` +
    `${sum(({ acknowledged }) => acknowledged)} acknowledged writes; ` +
    `schedules in which a rule was broken: ${broken}.`,
    "",
    "| fault | times | schedules | with a broken rule | slowest return of service, s |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...rows,
    "",
    "Service counts as back when a client of each proxy has written again; the bound is " +
    `${BACK_MS / 1_000} s after the last fault has ended.`,
  ].join("\n");
}

async function writeTable(table: string): Promise<void> {
  const page = await Deno.readTextFile(PAGE);
  const [before, rest] = page.split(BEGIN);
  const [, after] = rest!.split(END);
  await Deno.writeTextFile(PAGE, `${before}${BEGIN}\n\n${table}\n\n${END}${after}`);
  await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", PAGE.pathname] }).output();
}

if (import.meta.main) Deno.exit(await main());
