/**
 * Records of what was changed in the whole process: another config, another program. They are no incidents, but whoever
 * asks why something broke asks first what was changed before. Pure.
 */
import type { Event } from "../events/events.ts";
import { type IncidentRecord, isoOf } from "./record.ts";

/** Differences that a record keeps; a config can have thousands of services. */
const DIFFERENCES_MAX = 100;
/** Of these so many are in the sentence. */
const IN_SENTENCE_MAX = 3;

/** A change, before it has its place in the history. */
export type ProcessChange = Pick<IncidentRecord, "kind" | "by" | "reason" | "changes">;

/** What an event says was changed; undefined if it says nothing of that. A refused reload has changed nothing. */
export function changeIn(event: Event): ProcessChange | undefined {
  if (event.type === "config.reloaded" && event.changes.length > 0) {
    const { by, changes } = event;
    const reason = firstOf(changes, IN_SENTENCE_MAX).join("; ");
    return { kind: "reload", by, reason, changes: firstOf(changes, DIFFERENCES_MAX) };
  }
  if (event.type === "upgrade.tookOver") {
    const { from, fromPid, to, toPid } = event;
    const reason = `from ${from} (process ${fromPid}) to ${to} (process ${toPid})`;
    return { kind: "upgrade", by: null, reason, changes: [] };
  }
}

/** The record of a change, in which nothing happened to any client. `time` is in milliseconds since 1970. */
export function recordOfChange(
  { kind, by, reason, changes }: ProcessChange,
  { id, time, version }: { readonly id: string; readonly time: number; readonly version: string },
): IncidentRecord {
  return {
    ...{ id, service: "", kind, outcome: "done", by, reason, changes: changes ?? [] },
    ...{ epoch: null, promotions: [], from: null, to: null, began: isoOf(time), t: {} },
    ...{ interrupted_ms: null, rounds_failed: 0, evidence: [], failed_promotions: [] },
    ...{ triggers: [], sessions: { cut: 0, kept: 0 }, version, config_hash: "" },
    clients: { most_held: 0, hold_p50_ms: null, hold_p99_ms: null },
  };
}

/** True for the record of a change, false for that of an incident. */
export function isChange({ kind }: Pick<IncidentRecord, "kind">): boolean {
  return kind === "reload" || kind === "upgrade";
}

/** The first `max` lines, and how many more there are. */
function firstOf(lines: readonly string[], max: number): readonly string[] {
  return lines.length <= max ? lines : [...lines.slice(0, max), `${lines.length - max} more`];
}
