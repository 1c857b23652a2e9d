/**
 * `deno task bench goals`: the goals for the data planes, measured in one run with HAProxy, and whether
 * each goal is met. It takes less than five minutes.
 */
import { type BenchOptions, isComplete, printHeader } from "./compare.ts";
import { SECTIONS } from "./goal_sections.ts";
import { head, number, row } from "./table.ts";
import { benchFolder } from "./work.ts";

/** One line of the table. */
export interface Goal {
  readonly title: string;
  readonly unit: string;
  /** What the figure must be at least or at most; neither is a figure that is only shown. */
  readonly min?: number;
  readonly max?: number;
}

export interface Figure {
  /** NaN if it could not be measured, which misses every goal. */
  readonly value: number;
  /** The measured values from which it was computed; empty if it was measured itself. */
  readonly detail: string;
}

/** Goals that are measured together. */
export interface Section {
  readonly name: string;
  readonly goals: readonly Goal[];
  /** One figure for each of the goals, in their order. */
  measure(folder: string, options: BenchOptions): Promise<readonly Figure[]>;
}

export type Verdict = "met" | "missed" | "";

/** Measures, prints the table row by row, and then how many goals were met. False if any was missed. */
export async function benchGoals(options: BenchOptions): Promise<boolean> {
  const programs = ["haproxy", "nginx", "wrk", "h2load", "iperf3"];
  if (!await isComplete(programs, options)) return false;
  const startedAt = performance.now();
  await printHeader(programs, options);
  console.log(head(["goal", ">wanted", ">measured", "", "from"]));
  const verdicts: Verdict[] = [];
  for (const { name, goals, measure } of SECTIONS) {
    if (!(options.only?.includes(name) ?? true)) continue;
    await using folder = await benchFolder();
    const figures = await measure(folder.path, options);
    goals.forEach((goal, i) => {
      const verdict = verdictOn(goal, figures[i]!.value);
      verdicts.push(verdict);
      console.log(goalRow(goal, figures[i]!, verdict));
    });
  }
  const missed = verdicts.filter((each) => each === "missed").length;
  const met = verdicts.filter((each) => each === "met").length;
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  console.log(`\n${met} goals met, ${missed} missed, in ${seconds} s`);
  return missed === 0;
}

/** Compares the printed number: with two decimals, or from 1 000 as a whole number. */
export function verdictOn({ min, max }: Goal, value: number): Verdict {
  if (min === undefined && max === undefined) return "";
  const printed = rounded(value);
  return printed >= (min ?? -Infinity) && printed <= (max ?? Infinity) ? "met" : "missed";
}

export function goalRow(goal: Goal, { value, detail }: Figure, verdict: Verdict): string {
  const { title, unit, min, max } = goal;
  const wanted = min !== undefined ? `≥ ${min}` : max !== undefined ? `≤ ${max}` : "";
  const measured = Number.isNaN(value) ? "nothing" : `${rounded(value)} ${unit}`;
  return row([title, wanted, measured, verdict, detail]);
}

function rounded(value: number): number {
  return Math.abs(value) >= 1_000 ? Math.round(value) : Math.round(value * 100) / 100;
}

/** Our value divided by HAProxy's. */
export function ratio(ours: number, haproxys: number, unit: string): Figure {
  return { value: ours / haproxys, detail: `${number(ours)} : ${number(haproxys)} ${unit}` };
}
