/** Incidents in words, for the command line. Pure. */
import { formatDuration } from "../base/duration.ts";
import { isChange } from "./change.ts";
import { type IncidentRecord, type Moment, MOMENT_WORDS, MOMENTS } from "./record.ts";

/**
 * One line for each incident: time, id, what it was, and whether the service had another version or other options at
 * the incident before it, as after a restart.
 */
export function incidentLines(records: readonly IncidentRecord[]): string {
  if (records.length === 0) return "no incident is remembered";
  const last = new Map<string, IncidentRecord>();
  return records.map((each) => {
    const line = `${each.began}  ${each.id}  ${sentenceOfIncident(each)}`;
    if (isChange(each)) return line;
    const before = last.get(each.service);
    last.set(each.service, each);
    return line + (before === undefined ? "" : differencesFrom(before, each));
  }).join("\n");
}

function differencesFrom(before: IncidentRecord, { version, config_hash }: IncidentRecord): string {
  const found = [
    ...before.version === version ? [] : [`version ${before.version} → ${version}`],
    ...before.config_hash === config_hash ? [] : ["other options"],
  ];
  return found.length === 0 ? "" : ` (since the one before: ${found.join(", ")})`;
}

/** What an incident or a change was, in one sentence. */
export function sentenceOfIncident(record: IncidentRecord): string {
  const { service, epoch, interrupted_ms: ms, outcome, reason } = record;
  if (isChange(record)) return `${record.kind}: ${reason}`;
  const number = epoch === null ? "" : ` (epoch ${epoch})`;
  const cost = ms === null || ms < 1 ? "" : `, no upstream for ${formatMs(ms)}`;
  const end = outcome === null ? "UNDER WAY: " : "";
  return `[${service}] ${end}${whatOf(record)}${number}${cost}: ${reason}`;
}

function whatOf({ kind, outcome, from, to, failed_promotions: failed }: IncidentRecord): string {
  if (outcome === "returned") {
    const wanted = failed.at(-1)?.to;
    return `${kind}${wanted === undefined ? "" : ` to ${wanted}`} failed, ${to} served on`;
  }
  if (outcome === "recovered") return `${from} was down and came back by itself`;
  if (kind === "outage" || (outcome !== "served" && to === null)) {
    const end = to === null ? "" : `, then ${to} again`;
    return `outage${from === null ? "" : ` of ${from}`}${end}${endOf(outcome)}`;
  }
  const way = from === null || from === to ? "" : ` from ${from}`;
  return `${kind}${way}${to === null ? "" : ` to ${to}`}${endOf(outcome)}`;
}

function endOf(outcome: IncidentRecord["outcome"]): string {
  if (outcome === "stopped") return ", until the process was stopped";
  if (outcome === "handed_over") return ", until another process took over";
  if (outcome === "killed") return ", until the process was killed";
  return outcome === "died" ? ", until a fault of the proxy ended the service" : "";
}

/** All that is known of one incident: its moments as a list with distances, its evidence, and what it cost. */
export function incidentText(record: IncidentRecord): string {
  const head = [
    `${record.id}  ${sentenceOfIncident(record)}`,
    ...record.by === null ? [] : [`  ordered by ${record.by}`],
  ];
  if (isChange(record)) {
    const { changes = [], began, version } = record;
    const when = [`  at ${began}, version ${version}`];
    return [...head, ...when, ...section("what differs", changes.map((line) => `  ${line}`))]
      .join("\n");
  }
  return [
    ...head,
    "",
    ...momentLines(record),
    ...section("evidence", evidenceLines(record)),
    ...section("promotions that failed", failedLines(record)),
    ...section("triggers", triggerLines(record)),
    "",
    `  ${costOfIncident(record)}`,
    `  version ${record.version}, options ${record.config_hash}`,
  ].join("\n");
}

function momentLines({ began, t }: IncidentRecord): string[] {
  const start = Date.parse(began);
  const reached = MOMENTS.filter((moment) => t[moment] !== undefined);
  const at = (moment: Moment) => Date.parse(t[moment]!);
  return reached.toSorted((a, b) => at(a) - at(b)).map((moment) =>
    `  ${t[moment]}  ${`+${formatMs(at(moment) - start)}`.padEnd(10)}${MOMENT_WORDS[moment]}`
  );
}

function evidenceLines({ evidence }: IncidentRecord): string[] {
  return evidence.map(({ time, upstream, passed, reason, took_ms: ms }) =>
    `  ${time}  ${upstream}  ${passed ? "passed" : "failed"}: ${reason} (${formatMs(ms)})`
  );
}

function failedLines({ failed_promotions: failed }: IncidentRecord): string[] {
  return failed.map(({ to, epoch, reason }) => `  ${to} (epoch ${epoch}): ${reason}`);
}

function triggerLines({ triggers }: IncidentRecord): string[] {
  return triggers.map(({ program, epoch, reason, took_ms: ms }) =>
    `  ${program} (epoch ${epoch}) ${reason ?? "succeeded"} in ${formatMs(ms)}`
  );
}

/** What an incident cost clients, in one line that begins with `sessions:`. */
export function costOfIncident(
  { sessions, clients, rounds_failed: rounds }: IncidentRecord,
): string {
  const { most_held: held, hold_p50_ms: p50, hold_p99_ms: p99 } = clients;
  const { released, lost, abandoned, retried } = clients;
  // Records of earlier versions have no such numbers.
  const hasWaited = typeof p50 === "number" && typeof p99 === "number";
  const count = (number: number | undefined, what: string) =>
    number === undefined ? [] : [`${number} ${what}`];
  return [
    `sessions: ${sessions.cut} cut, ${sessions.kept} kept; clients: ${held} waited at one time`,
    ...count(released, "waited and were let in"),
    ...hasWaited ? [`half waited ${formatMs(p50)} at most, 99 % ${formatMs(p99)}`] : [],
    ...count(lost, "lost"),
    ...count(abandoned, "left while they waited"),
    ...count(retried, "further attempts"),
    ...rounds === 0 ? [] : [`${rounds} rounds found nobody`],
  ].join(", ");
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", `  ${title}:`, ...lines.map((line) => `  ${line}`)];
}

function formatMs(ms: number): string {
  if (ms > 0 && ms < 10) return `${Math.round(ms * 10) / 10}ms`;
  return formatDuration(Math.max(0, Math.round(ms)));
}
