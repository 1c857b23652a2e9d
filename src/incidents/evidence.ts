/** The check results that count in an incident, from its recorded inputs. Pure. */
import type { EvidenceItem } from "./record.ts";
import { isoOf } from "./record.ts";
import type { Entry } from "./input_log.ts";

/** Most results that a record quotes: the first ones and the last ones. */
const EVIDENCE_MAX = 40;
/** Failures in the same words that are quoted in a row. */
const REPEATS_MAX = 5;

/**
 * All results from `began` (milliseconds since 1970) on, without those that repeat the one before of the same
 * upstream in the same words. `wallOffset` must be added to the machine's times to get milliseconds since 1970.
 */
export function evidenceOf(
  entries: readonly Entry[],
  began: number,
  wallOffset: number,
): readonly EvidenceItem[] {
  const found: EvidenceItem[] = [];
  const last = new Map<
    string,
    { readonly passed: boolean; readonly reason: string; run: number }
  >();
  for (const { at, input } of entries) {
    if (input.type !== "probed") continue;
    const { upstream, result: { passed, reason, tookMs } } = input;
    const time = at + wallOffset;
    // The first failure is dated back to the beginning of its check.
    if (time < began) continue;
    const before = last.get(upstream);
    const isSame = before?.passed === passed && before.reason === reason;
    last.set(upstream, { passed, reason, run: isSame ? before.run + 1 : 1 });
    // A run of the same failures counts towards the threshold; a run of passes says nothing new.
    if (isSame && (passed || before.run >= REPEATS_MAX)) continue;
    found.push({
      upstream,
      time: isoOf(time),
      passed,
      reason,
      took_ms: Math.round(tookMs * 10) / 10,
    });
  }
  if (found.length <= EVIDENCE_MAX) return found;
  return [...found.slice(0, EVIDENCE_MAX / 2), ...found.slice(-EVIDENCE_MAX / 2)];
}
