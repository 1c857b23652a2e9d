/**
 * Who is next: the first upstream in the operator's order that passed its probe in this round. An
 * upstream that was known to be down when the round began is not waited for as long as another may do,
 * so a black hole at the top of the list costs nothing.
 */
import type { ProbeResult } from "./ports.ts";
import type { Upstream } from "./upstream.ts";

export type Choice =
  | { readonly found: "candidate"; readonly upstream: Upstream }
  | { readonly found: "nothing-yet" }
  /** Nobody may be taken, for a better rank could not be asked. */
  | { readonly found: "unasked" }
  | { readonly found: "nobody" };

/**
 * Looks at the answers of a round so far. `upstreams` are in rank order; `suspects` were down when the
 * round began and are considered only when everybody else has failed. Nobody is taken instead of a better
 * upstream that gave no verdict, unless that was down before.
 */
export function choose(
  upstreams: readonly Upstream[],
  answers: ReadonlyMap<string, ProbeResult>,
  suspects: ReadonlySet<string>,
): Choice {
  const trusted = upstreams.filter((u) => !suspects.has(u.name));
  const choice = firstPassed(trusted, answers);
  const doubtful = upstreams.filter((u) => suspects.has(u.name));
  if (choice.found === "nobody") return firstPassed(doubtful, answers, true);
  if (choice.found !== "unasked") return choice;
  const unasked = trusted.find((u) => answers.get(u.name)?.evidence === "none")!;
  const better = doubtful.filter((u) => u.rank < unasked.rank);
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
    if (answer === undefined) return { found: "nothing-yet" };
    if (answer.passed) return { found: "candidate", upstream };
    if (answer.evidence === "none" && !areSuspects) return { found: "unasked" };
  }
  return { found: "nobody" };
}
