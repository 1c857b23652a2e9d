/**
 * Selects the candidate: the first upstream in rank order that passed its probe in this round. The answer
 * of an upstream that was down when the round began is not waited for while another may pass, so a host
 * at the top of the list that never answers does not delay a failover.
 */
import type { ProbeResult } from "./ports.ts";
import type { Upstream } from "./upstream.ts";

/** What the answers of a round allow. `pending`: an answer that could decide has not arrived yet. */
export type Choice =
  | { readonly found: "candidate"; readonly upstream: Upstream }
  | { readonly found: "pending" }
  /** No upstream may be chosen, since a better rank could not be probed. */
  | { readonly found: "unknown" }
  | { readonly found: "none" };

/**
 * Judges the answers of a round so far. `upstreams` are in rank order. `suspects` were down when the
 * round began; they are considered only after all others have failed. No upstream is chosen instead of a
 * better one that gave no verdict, unless the better one was down before.
 */
export function choose(
  upstreams: readonly Upstream[],
  answers: ReadonlyMap<string, ProbeResult>,
  suspects: ReadonlySet<string>,
): Choice {
  const trusted = upstreams.filter((u) => !suspects.has(u.name));
  const choice = firstPassed(trusted, answers);
  const doubtful = upstreams.filter((u) => suspects.has(u.name));
  if (choice.found === "none") return firstPassed(doubtful, answers, true);
  if (choice.found !== "unknown") return choice;
  const unknown = trusted.find((u) => answers.get(u.name)?.evidence === "no_verdict")!;
  const better = doubtful.filter((u) => u.rank < unknown.rank);
  const instead = firstPassed(better, answers, true);
  return instead.found === "candidate" ? instead : choice;
}

function firstPassed(
  upstreams: readonly Upstream[],
  answers: ReadonlyMap<string, ProbeResult>,
  areSuspects = false,
): Choice {
  for (const upstream of upstreams) {
    const answer = answers.get(upstream.name);
    if (answer === undefined) return { found: "pending" };
    if (answer.passed) return { found: "candidate", upstream };
    if (answer.evidence === "no_verdict" && !areSuspects) return { found: "unknown" };
  }
  return { found: "none" };
}
