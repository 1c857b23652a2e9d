/**
 * `failover replay`: feeds the recorded inputs of an incident to the machine again, as they were and with other
 * options, and says in plain words what was decided and what would have been decided.
 */
import { formatDuration } from "../base/duration.ts";
import type { Event } from "../events/events.ts";
import type { IncidentRecord } from "../incidents/record.ts";
import type { Recorded } from "../incidents/recording.ts";
import { isChange } from "../incidents/change.ts";
import { replay as replayed } from "../incidents/replay.ts";
import type { Decided } from "../incidents/input_log.ts";
import { sentenceOfIncident } from "../incidents/text.ts";
import { whatIf } from "../incidents/what_if.ts";
import { sentenceOf } from "../report/lines.ts";
import type { Arguments } from "./arguments.ts";
import type { CommandIo } from "./commands.ts";
import { otherOptions } from "./other_options.ts";
import type { Records } from "./records.ts";

/** A decision in words. */
interface Said {
  /** ISO 8601. */
  readonly time: string;
  /** Milliseconds since the incident began; negative before that. */
  readonly after_ms: number;
  readonly event: string;
  readonly message: string;
  /** True after the last recorded input. */
  readonly extrapolated: boolean;
}

/** Events that are observations of one check, or answers, and no decisions. */
const MINOR: ReadonlySet<Event["type"]> = new Set(["probe.failed", "order.refused"]);

const EXIT_WRONG_OPTION = 2;

/** Prints the decisions of one incident. */
export async function replayCommand(
  { operands: { ID = "" }, lists, json }: Arguments,
  records: Records,
  io: CommandIo,
): Promise<number> {
  const options = lists.with ?? [];
  const changed = otherOptions(options);
  if (typeof changed === "string") return failed(io, changed, EXIT_WRONG_OPTION);
  const record = await records.find(ID);
  if (typeof record === "string") return failed(io, record, 1);
  const recorded = await records.inputs(record.id);
  if (isChange(record)) {
    return failed(
      io,
      `${record.id} is no incident: it was ${record.kind === "reload" ? "a reload" : "an upgrade"}`,
      1,
    );
  }
  if (recorded === undefined) return failed(io, `the inputs of ${record.id} are not kept`, 1);
  if (options.length > 0 && isShared(recorded)) {
    return failed(
      io,
      "several proxies decided this together, and what they would have decided with other options " +
        "cannot be known from the record of one; replay it without --with",
      1,
    );
  }
  const found = findings(record, recorded, options, { ...recorded.policy, ...changed });
  io.out(json ? JSON.stringify(found, null, 2) : textOf(record, found));
  return 0;
}

/** Whether several proxies shared their decisions. */
function isShared({ start, entries }: Recorded): boolean {
  return start.cluster !== undefined || entries.some(({ input }) => input.type === "coordinated");
}

function failed(io: CommandIo, line: string, code: number): number {
  io.err(`failover: ${line}`);
  return code;
}

type Findings = ReturnType<typeof findings>;

/** The results of the replays, as the JSON of the command. */
export function findings(
  record: IncidentRecord,
  recorded: Recorded,
  options: readonly string[],
  policy: Recorded["policy"],
) {
  const again = replayed(recorded);
  const began = Date.parse(record.began);
  const knownUntil = recorded.entries.at(-1)?.at ?? recorded.start.now;
  const other = options.length === 0 ? undefined : whatIf(recorded, policy);
  // Earlier decisions are the same, and belong to an earlier incident.
  const since = Math.min(began - recorded.wallOffset, other?.divergedAt ?? Infinity) - 1;
  const own = (decided: readonly Decided[]) => decided.filter(({ at }) => at >= since);
  const say = (decided: readonly Decided[]) =>
    own(decided).flatMap((each) => saidOf(each, recorded.wallOffset, began, knownUntil));
  const isSame = JSON.stringify(again) === JSON.stringify(recorded.decided);
  return {
    incident: record.id,
    inputs: recorded.entries.length,
    from: isoOf(recorded.start.now + recorded.wallOffset),
    until: isoOf(knownUntil + recorded.wallOffset),
    is_cut_off: recorded.isCutOff,
    /** Whether this version makes the same decisions as then. */
    is_same: isSame,
    decided: say(recorded.decided),
    replayed: isSame ? null : say(again),
    with: options,
    would_have_decided: other === undefined ? null : say(other.decided),
    difference: other === undefined ? null : differenceOf(
      outcomeOf(own(recorded.decided)),
      outcomeOf(own(other.decided)),
      other.isServed,
    ),
  };
}

function saidOf(
  { at, effect }: Decided,
  wallOffset: number,
  began: number,
  knownUntil: number,
): Said[] {
  if (effect.do !== "publish" || MINOR.has(effect.event.type)) return [];
  const time = at + wallOffset;
  return [{
    time: isoOf(time),
    after_ms: Math.round(time - began),
    event: effect.event.type,
    message: sentenceOf(effect.event),
    extrapolated: at > knownUntil,
  }];
}

/** The result for clients: when they were refused or had to wait, and when which upstream got them again. */
interface ReplayOutcome {
  readonly lostAt: number | undefined;
  readonly openAt: number | undefined;
  readonly to: string | undefined;
  readonly moves: number;
}

function outcomeOf(decided: readonly Decided[]): ReplayOutcome {
  let [lostAt, openAt, to]: [number | undefined, number | undefined, string | undefined] = [
    undefined,
    undefined,
    undefined,
  ];
  let moves = 0;
  for (const { at, effect } of decided) {
    if (effect.do !== "publish") continue;
    const { event } = effect;
    if (event.type === "clients.held" || event.type === "clients.refused") lostAt ??= at;
    if (event.type === "promotion.started") moves++;
    const isOpen = event.type === "promotion.finished" || event.type === "service.returned" ||
      event.type === "service.continued" ||
      event.type === "service.failedOpen";
    if (!isOpen || openAt !== undefined) continue;
    openAt = at;
    to = "to" in event ? event.to : event.upstream;
  }
  return { lostAt, openAt, to, moves };
}

function differenceOf(was: ReplayOutcome, other: ReplayOutcome, isServed: boolean): string {
  if (other.openAt === undefined && other.lostAt === undefined && other.moves === 0) {
    return was.moves === 0 ? "the same: nothing moves" : "nothing would have moved";
  }
  if (other.openAt === undefined) {
    return isServed
      ? "clients would have been served"
      : "nobody would have served until the end of what is known";
  }
  if (was.openAt === undefined) return `${other.to} would have served`;
  const ms = Math.round(other.openAt - was.openAt);
  const when = ms === 0
    ? "at the same time"
    : `${formatDuration(Math.abs(ms))} ${ms < 0 ? "earlier" : "later"}`;
  const outMs = (each: ReplayOutcome) => each.openAt! - (each.lostAt ?? each.openAt!);
  const cost = Math.round(outMs(other) - outMs(was));
  const shutOut = cost === 0
    ? "new clients would have been shut out for as long"
    : `new clients would have been shut out for ${formatDuration(Math.abs(cost))} ${
      cost < 0 ? "less" : "more"
    }`;
  const who = other.to === was.to
    ? `${other.to} would have served as well`
    : `${other.to} would have served instead of ${was.to}`;
  return `${who}, ${when}; ${shutOut}`;
}

function textOf(record: IncidentRecord, found: Findings): string {
  const { decided, replayed, would_have_decided: other } = found;
  return [
    `${record.id}  ${sentenceOfIncident(record)}`,
    `  ${found.inputs} inputs from ${found.from} to ${found.until}${
      found.is_cut_off ? "; the incident went on, but no more was recorded" : ""
    }`,
    ...block("what was decided", decided),
    ...replayed === null ? [] : block(
      `THIS VERSION DECIDES OTHERWISE than ${record.version} did`,
      replayed,
    ),
    ...other === null
      ? []
      : block(`what would have been decided with ${found.with.join(", ")}`, other),
    ...found.difference === null ? [] : ["", found.difference, ...assumptions(found)],
  ].join("\n");
}

function block(title: string, said: readonly Said[]): string[] {
  const lines = said.map(({ time, after_ms: ms, message, extrapolated }) => {
    const sign = ms < 0 ? "-" : "+";
    const after = `${sign}${formatDuration(Math.abs(ms))}`.padEnd(10);
    return `  ${time}  ${after}${extrapolated ? "~ " : ""}${message}`;
  });
  return ["", `${title}:`, ...lines.length === 0 ? ["  nothing"] : lines];
}

function assumptions({ would_have_decided: other }: Findings): string[] {
  return [
    "Where it would have asked what nobody asked then, an upstream answers as it did at the nearest time, " +
    "and triggers take as long and end as they did.",
    ...other?.some(({ extrapolated }) => extrapolated)
      ? [
        "What is marked with ~ comes after the last recorded input: everything is taken to stay as it was.",
      ]
      : [],
  ];
}

function isoOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
