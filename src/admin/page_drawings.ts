/**
 * The drawings of the page as SVG: the last checks, the last 24 hours, and the moments of an incident. Sizes
 * are attributes and colours are classes, since the page allows no inline style. Each has its words beside it
 * or as its label.
 */
import { html } from "hono/html";
import type { UpstreamHistory } from "../failover/history.ts";
import type { IncidentRecord, Moment } from "../incidents/record.ts";
import { MOMENT_WORDS, MOMENTS } from "../incidents/record.ts";
import type { Change } from "../incidents/timeline.ts";
import { span } from "./page_words.ts";

/** HTML whose values have been escaped. */
export type Html = ReturnType<typeof html>;

const DAY_MS = 24 * 3_600_000;
/** Short periods of the day are drawn at least this wide, in thousandths of the whole width. */
const LEAST_WIDTH = 3;
const CHECKS_SHOWN = 10;

/** The last checks, oldest first, as squares; failures are also lower, for those who see no colours. */
export function checksDrawing({ answers }: UpstreamHistory): Html {
  const shown = answers.slice(-CHECKS_SHOWN);
  const failed =
    shown.filter((answer) => !answer.passed && answer.evidence !== "no_verdict").length;
  const label = shown.length === 0
    ? "no check yet"
    : `${shown.length} checks, ${failed === 0 ? "none" : failed} failed`;
  const squares = shown.map((answer, index) => {
    const kind = answer.evidence === "no_verdict" ? "unknown" : answer.passed ? "up" : "down";
    const [y, height] = kind === "up" ? [0, 20] : kind === "down" ? [10, 10] : [5, 10];
    return html`
      <rect class="${kind}" x="${index * 12}" y="${y}" width="10" height="${height}">
        <title>${new Date(answer.time).toISOString()} ${answer.reason}, ${span(
          answer.tookMs,
        )}</title>
      </rect>
    `;
  });
  return html`
    <svg class="checks" viewBox="0 0 120 20" preserveAspectRatio="none" role="img"
      aria-label="${label}">${squares}</svg>
  `;
}

/** What happened in a period: the primary served, another upstream did, clients waited or got no upstream. */
type Kind = "primary" | "backup" | "wait" | "nobody" | "nothing";

interface Stretch {
  readonly kind: Kind;
  /** Milliseconds since 1970. */
  readonly from: number;
  readonly to: number;
}

/** The last 24 hours until `now`, in milliseconds since 1970, oldest first. */
export function stretchesOf(changes: readonly Change[], now: number): readonly Stretch[] {
  const begin = now - DAY_MS;
  const first = changes[0] === undefined ? now : Math.max(begin, Date.parse(changes[0].time));
  const before: Stretch[] = first > begin ? [{ kind: "nothing", from: begin, to: first }] : [];
  const known = changes.map((change, index): Stretch => {
    const next = changes[index + 1];
    return {
      kind: kindOf(change),
      from: Math.max(begin, Date.parse(change.time)),
      to: next === undefined ? now : Math.max(begin, Date.parse(next.time)),
    };
  });
  return [...before, ...known].filter(({ from, to }) => to > from);
}

function kindOf({ admission, rank }: Change): Kind {
  if (admission === "open") return rank === 0 ? "primary" : "backup";
  return admission === "holding" ? "wait" : "nobody";
}

const KIND_WORDS: Readonly<Record<Kind, string>> = {
  primary: "the primary served",
  backup: "a backup served",
  wait: "new clients waited",
  nobody: "nobody served",
  nothing: "the proxy did not run, or has forgotten it",
};

/** The last 24 hours as a bar, and what it says in words. */
export function dayDrawing(changes: readonly Change[], now: number): Html {
  const stretches = stretchesOf(changes, now);
  const x = (time: number) => ((time - (now - DAY_MS)) / DAY_MS) * 1_000;
  const total = (kind: Kind) =>
    stretches.filter((each) => each.kind === kind).reduce(
      (sum, { from, to }) => sum + to - from,
      0,
    );
  const words = (Object.keys(KIND_WORDS) as Kind[]).filter((kind) => total(kind) > 0)
    .map((kind) => `${KIND_WORDS[kind]} for ${span(total(kind))}`);
  const bars = stretches.map(({ kind, from, to }) => {
    const width = Math.max(LEAST_WIDTH, x(to) - x(from));
    return html`
      <rect class="${kind}" x="${Math.min(
        x(from),
        1_000 - width,
      )}" y="0" width="${width}" height="20">
        <title>${new Date(from).toISOString()} ${KIND_WORDS[kind]} for ${span(to - from)}</title>
      </rect>
    `;
  });
  return html`
    <svg class="day" viewBox="0 0 1000 20" preserveAspectRatio="none" role="img"
      aria-label="The last 24 hours: ${words.join(", ")}">${bars}</svg>
    <p class="scale" aria-hidden="true"><span>24 h ago</span><span>now</span></p>
    <p class="quiet">In the last 24 hours ${words.join(", ")}.</p>
  `;
}

/** The moments of an incident, each with the time since the first one and a bar until the next one. */
export function waterfall({ began, t }: IncidentRecord): Html {
  const start = Date.parse(began);
  const at = (moment: Moment) => Date.parse(t[moment]!) - start;
  const reached = MOMENTS.filter((moment) => t[moment] !== undefined && moment !== "recovered")
    .toSorted((a, b) => at(a) - at(b));
  const lengthMs = Math.max(1, ...reached.map(at));
  const rows = reached.map((moment, index) => {
    const from = at(moment) / lengthMs * 1_000;
    const next = reached[index + 1];
    const to = next === undefined ? from : at(next) / lengthMs * 1_000;
    const width = Math.max(LEAST_WIDTH * 2, to - from);
    const kind = moment === "open" || moment === "first_success" ? "up" : "work";
    return html`
      <tr>
        <td>+${span(at(moment))}</td>
        <td>${MOMENT_WORDS[moment]}</td>
        <td class="bar">
          <svg class="waterfall" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
            <rect class="nothing" x="0" y="4" width="1000" height="2" />
            <rect class="${kind}" x="${Math.min(
              from,
              1_000 - width,
            )}" y="0" width="${width}" height="10" />
          </svg>
        </td>
      </tr>
    `;
  });
  return html`
    <table>
      <thead>
        <tr>
          <th scope="col">After</th>
          <th scope="col">What</th>
          <th scope="col"><span class="unseen">How long until the next</span></th>
        </tr>
      </thead>
      <tbody>${rows}</tbody>
    </table>
  `;
}
