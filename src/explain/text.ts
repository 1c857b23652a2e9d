/** An explanation as text. Pure. */
import { formatDuration } from "../base/duration.ts";
import type { Explanation, FaultEstimate } from "./explain.ts";

/** All services, with an empty line between two. */
export function explanationText(services: readonly Explanation[]): string {
  return services.map((each) => serviceLines(each).join("\n")).join("\n\n");
}

function serviceLines({ service, mode, faults, traps }: Explanation): string[] {
  return [
    `${service} (${mode}): how long until clients are served again`,
    ...faults.flatMap((fault) => ["", ...faultLines(fault)]),
    "",
    ...traps.length === 0 ? ["no traps found"] : traps.map((trap) => `trap: ${trap}`),
  ];
}

function faultLines({ name, meaning, terms, worstMs, usualMs, note }: FaultEstimate): string[] {
  const head = terms.length === 0
    ? `${name}: no failover`
    : `${name}: usually ${time(usualMs)}, at worst ${time(worstMs)}`;
  return [
    `${head} (${meaning})`,
    ...terms.map((term) =>
      `  ${time(term.usualMs).padStart(8)} ${time(term.worstMs).padStart(10)}  ${term.what}`
    ),
    ...note === undefined ? [] : [`  note: ${note}`],
  ];
}

/** To a hundredth of a second. */
function time(ms: number): string {
  return ms === Infinity ? "no limit" : formatDuration(Math.round(ms / 10) * 10);
}

/** For `--json`: a time without a limit is null. */
export function explanationJson(services: readonly Explanation[]): string {
  return JSON.stringify(services, (_, value) => value === Infinity ? null : value, 2);
}
