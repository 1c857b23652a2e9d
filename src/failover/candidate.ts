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
  | { readonly found: "nobody" };

/**
 * Looks at the answers of a round so far. `upstreams` are in rank order; `suspects` were down when the
 * round began and are considered only when everybody else has failed.
 */
export function choose(
  upstreams: readonly Upstream[],
  answers: ReadonlyMap<string, ProbeResult>,
  suspects: ReadonlySet<string>,
): Choice {
  const trusted = firstPassed(upstreams.filter((u) => !suspects.has(u.name)), answers);
  if (trusted.found !== "nobody") return trusted;
  return firstPassed(upstreams.filter((u) => suspects.has(u.name)), answers);
}

function firstPassed(
  upstreams: readonly Upstream[],
  answers: ReadonlyMap<string, ProbeResult>,
): Choice {
  for (const upstream of upstreams) {
    const answer = answers.get(upstream.name);
    if (answer === undefined) return { found: "nothing-yet" };
    if (answer.passed) return { found: "candidate", upstream };
  }
  return { found: "nobody" };
}
