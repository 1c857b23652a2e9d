/**
 * `deno task cluster [COUNT] [--seed N] [--jobs N]`: runs random schedules of faults against three real proxies
 * and three real etcd (`tests/cluster/schedule.ts`), two at a time, and prints what happened. With `--write` the
 * table goes into `.github/docs/cluster.md`. A schedule takes about 40 s; after Ctrl-C those that
 * run are the last ones. Exit code 1 if a rule was broken.
 */
import { parseArgs } from "@std/cli/parse-args";
import { BACK_MS, type Outcome, runSchedule, SCHEDULED } from "../tests/cluster/schedule.ts";

const PAGE = new URL("../.github/docs/cluster.md", import.meta.url);
const [BEGIN, END] = ["<!-- cluster-faults -->", "<!-- /cluster-faults -->"];

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, { string: ["seed", "jobs"], boolean: ["write"] });
  const count = Number(args._[0] ?? 200);
  const first = Number(args.seed ?? 1);
  const outcomes: Outcome[] = [];
  let next = first;
  let isOver = false;
  Deno.addSignalListener("SIGINT", () => isOver = true);
  const work = async () => {
    while (next < first + count && !isOver) {
      const seed = next++;
      try {
        const outcome = await runSchedule(seed);
        outcomes.push(outcome);
        const { breaches, backMs, promotions, acknowledged } = outcome;
        console.error(
          `seed ${seed}: ${promotions} promotions, ${acknowledged} writes, back after ` +
            `${Math.round(backMs)} ms${breaches.map((each) => `\n  ${each}`).join("")}`,
        );
      } catch (error) {
        console.error(`seed ${seed}: ${error instanceof Error ? error.message : error}`);
        outcomes.push({
          ...{ seed, faults: [], backMs: 0, promotions: 0, acknowledged: 0 },
          breaches: ["the schedule did not run to its end"],
        });
      }
    }
  };
  await Promise.all(Array.from({ length: Number(args.jobs ?? 2) }, work));
  const text = tableOf(outcomes);
  console.log(text);
  if (args.write) await writeTable(text);
  return outcomes.some(({ breaches }) => breaches.length > 0) ? 1 : 0;
}

/** One row for each fault, and the sums. */
function tableOf(outcomes: readonly Outcome[]): string {
  const seconds = (ms: number) => (ms / 1_000).toFixed(1);
  const rows = Object.keys(SCHEDULED).map((name) => {
    const those = outcomes.filter(({ faults }) => faults.includes(name));
    const times = outcomes.reduce(
      (sum, { faults }) => sum + faults.filter((each) => each === name).length,
      0,
    );
    const broken = those.filter(({ breaches }) => breaches.length > 0).length;
    const worst = Math.max(0, ...those.map(({ backMs }) => backMs));
    return `| ${name} | ${times} | ${those.length} | ${broken} | ${seconds(worst)} |`;
  });
  const sum = (read: (outcome: Outcome) => number) =>
    outcomes.reduce((total, each) => total + read(each), 0);
  const broken = outcomes.filter(({ breaches }) => breaches.length > 0).length;
  return [
    `${outcomes.length} schedules, ${sum(({ promotions }) => promotions)} promotions, ` +
    `${
      sum(({ acknowledged }) => acknowledged)
    } acknowledged writes; schedules in which a rule was broken: ${broken}.`,
    "",
    "| fault | times | schedules | with a broken rule | slowest return of service, s |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...rows,
    "",
    `Service counts as back when a client of each proxy has written again; the bound is ${
      BACK_MS / 1_000
    } s after the last fault has ended.`,
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
