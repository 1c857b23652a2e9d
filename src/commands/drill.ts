/** `failover drill`: orders a drill and prints its result. */
import { formatDuration } from "../base/duration.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandIo } from "./commands.ts";
import type { Connection } from "./connection.ts";
import { printRefusal } from "./refusal.ts";

interface Standby {
  readonly name: string;
  readonly passed: boolean;
  readonly reason: string;
  readonly took_ms: number;
  readonly verdict_is_down: boolean;
  readonly excluded: string | null;
}

interface DrillFault {
  readonly name: string;
  readonly usual_ms: number | null;
  readonly worst_ms: number | null;
  readonly terms: readonly {
    readonly what: string;
    readonly usual_ms: number | null;
    readonly worst_ms: number | null;
  }[];
}

/** The fields of the answer (`admin/drill.ts`) that are used here. */
export interface DrillReport {
  readonly service: string;
  readonly mode: string;
  readonly active: string | null;
  readonly standbys: readonly Standby[];
  readonly chosen: string | null;
  readonly why: string;
  readonly choice_ms: number;
  readonly paused: boolean;
  /** An earlier version does not say it. */
  readonly cut_off?: boolean;
  readonly ready: boolean;
  readonly triggers: {
    readonly count: number;
    readonly ran: boolean;
    readonly outcome?: string;
    readonly reason?: string | null;
    readonly took_ms?: number;
    readonly programs?: readonly {
      readonly program: string;
      readonly reason: string | null;
      readonly took_ms: number;
    }[];
  };
  readonly faults: readonly DrillFault[];
}

/**
 * Orders a drill and prints what it found. Returns 0 if `isGood`, else 1; after a refusal, the code of
 * `printRefusal`.
 */
export async function drillCommand(
  { operands: { SERVICE }, values: { reason }, switches, json }: Arguments,
  connection: Connection,
  io: CommandIo,
): Promise<number> {
  const query = new URLSearchParams();
  if (SERVICE !== undefined) query.set("service", SERVICE);
  if (reason !== undefined) query.set("reason", reason);
  if (switches.has("run-triggers")) query.set("run_triggers", "true");
  const answer = await connection.order(`drill?${query}`);
  if (answer.status !== 200) return printRefusal(answer, io, json);
  const report = answer.body as unknown as DrillReport;
  io.out(json ? JSON.stringify(report, null, 2) : drillText(report));
  return isGood(report) ? 0 : 1;
}

/** True if an upstream would take over and no trigger failed. */
export function isGood({ chosen, paused, cut_off: isCutOff, triggers }: DrillReport): boolean {
  const mayMove = chosen !== null && !paused && isCutOff !== true;
  return mayMove && (!triggers.ran || triggers.outcome === "ran");
}

/** The report for people. */
export function drillText(report: DrillReport): string {
  const { service, mode, active, standbys, chosen, why, choice_ms } = report;
  const width = Math.max(0, ...standbys.map(({ name }) => name.length));
  return [
    `${service} (${mode}): ${active === null ? "no upstream serves" : `${active} serves`}`,
    ...standbys.map((standby) => `  ${standbyLine(standby, width)}`),
    chosen === null
      ? `  NOBODY would take over: ${why}`
      : `  ${chosen} would take over: ${why} (answers took ${time(choice_ms)})`,
    ...report.paused ? ["  PAUSED: nothing moves before resume"] : [],
    ...report.cut_off === true ? ["  WITHOUT ETCD: nothing moves before it answers"] : [],
    ...disagreement(report),
    ...triggerLines(report),
    ...chosen === null ? [] : faultLines(report.faults),
  ].join("\n");
}

function standbyLine(standby: Standby, width: number): string {
  const { name, passed, reason, took_ms, verdict_is_down, excluded } = standby;
  const notes = [
    ...excluded === null ? [] : [excluded],
    ...verdict_is_down ? ["its verdict is down: only if no other passes"] : [],
  ];
  return `${name.padEnd(width)}  ${passed ? "passed" : "FAILED"}: ${reason} (${time(took_ms)})${
    notes.length === 0 ? "" : ` [${notes.join("; ")}]`
  }`;
}

/** State and metrics depend on verdicts, which change some time after the checks. */
function disagreement({ ready, chosen, paused, cut_off: isCutOff }: DrillReport): string[] {
  if (paused || isCutOff === true || ready === (chosen !== null)) return [];
  return ready
    ? ["  state and metrics still say ready: their verdicts follow the checks"]
    : ["  state and metrics say NOT READY: no standby has passed enough checks to be up"];
}

function triggerLines({ triggers, chosen }: DrillReport): string[] {
  const { count, ran, outcome, reason, took_ms, programs = [] } = triggers;
  if (count === 0 && !ran) return [];
  const all = count === 1 ? "1 trigger" : `${count} triggers`;
  if (!ran) {
    const why = chosen === null ? "not run" : "not run (--run-triggers)";
    return [`  ${all}: ${why}`];
  }
  const end = outcome === "ran"
    ? `succeeded in ${time(took_ms ?? 0)}`
    : `FAILED: ${reason ?? outcome}`;
  return [
    `  ${all}: ${end}`,
    ...programs.map((each) =>
      `    ${each.program}: ${each.reason ?? "succeeded"} in ${time(each.took_ms)}`
    ),
  ];
}

function faultLines(faults: readonly DrillFault[]): string[] {
  const known = faults.filter(({ terms }) => terms.length > 0);
  return known.length === 0 ? [] : [
    "  until clients are served again, with what was measured now (usually, at worst):",
    ...known.flatMap(({ name, usual_ms, worst_ms, terms }) => [
      `    ${name}: usually ${limit(usual_ms)}, at worst ${limit(worst_ms)}`,
      ...terms.map((term) =>
        `      ${limit(term.usual_ms).padStart(8)} ${
          limit(term.worst_ms).padStart(13)
        }  ${term.what}`
      ),
    ]),
  ];
}

function limit(ms: number | null): string {
  return ms === null ? "without limit" : time(ms < 100 ? ms : Math.round(ms / 10) * 10);
}

function time(ms: number): string {
  return ms > 0 && ms < 10 ? `${ms}ms` : formatDuration(Math.round(ms));
}
