/**
 * What the page shows of the services, as HTML. The server renders it for the first load, for the refreshes of
 * the script, and for those who have no JavaScript.
 */
import { html } from "hono/html";
import type { Clock } from "../base/clock.ts";
import { isDown, isUp } from "../failover/health.ts";
import { activeOf, type State } from "../failover/state.ts";
import type { Upstream } from "../failover/upstream.ts";
import { whyNot } from "../failover/orders.ts";
import type { IncidentRecord } from "../incidents/record.ts";
import { isChange } from "../incidents/change.ts";
import { costOfIncident, sentenceOfIncident } from "../incidents/text.ts";
import type { Incidents } from "../incidents/incidents.ts";
import type { ConfigState } from "./config_state.ts";
import { clusterTroubles } from "./cluster.ts";
import { checksDrawing, dayDrawing, type Html, waterfall } from "./page_drawings.ts";
import {
  configWords,
  ordersOf,
  readiness,
  serverWords,
  serviceSentence,
  span,
} from "./page_words.ts";
import { outlook } from "./state_report.ts";
import { barIn, type ServiceView, upstreamRole } from "./view.ts";

/** What the page shows, and whether it has buttons. */
export interface PageSettings {
  readonly clock: Clock;
  readonly services: readonly ServiceView[];
  readonly incidents: Pick<Incidents, "list" | "timeline">;
  readonly facts: () => { readonly config: ConfigState };
  /** Which buttons there are: none, or those that need a token, or all. */
  readonly buttons: "none" | "token" | "all";
}

/** So many incidents of a service are shown, and as many changes of the process. */
const INCIDENTS_SHOWN = 10;

/** All services, the worst first. */
export async function pageState(settings: PageSettings): Promise<Html> {
  const badness = { out: 0, moving: 1, backup: 2, primary: 3 } as const;
  const sorted = settings.services.map((view, index) => ({ view, index }))
    .toSorted((a, b) => {
      const [x, y] = [a, b].map(({ view }) => badness[serviceSentence(view.state()).mood]);
      return x! - y! || a.index - b.index;
    });
  const shown = sorted.map(({ view, index }) => service(settings, view, index));
  const config = configWords(settings.facts().config, settings.clock.wall());
  const line = html`<p class="${config.isAlarming ? "order" : "quiet"}">${config.text}</p>`;
  return html`${config.isAlarming ? line : ""}${await Promise.all(shown)}${
    config.isAlarming ? "" : line
  }`;
}

async function service(settings: PageSettings, view: ServiceView, index: number): Promise<Html> {
  const { clock, incidents, buttons } = settings;
  const state = view.state();
  const { mood, text, since } = serviceSentence(state);
  const id = `s${index}`;
  const records = latest(incidents.list(), view.name);
  const detection = await view.worstDetection?.() ?? [];
  const worst = detection.map(({ fault, ms }) => `${span(ms)} (${fault})`).join(", ");
  const clients = view.mode === "tcp" ? "Sessions" : "Requests";
  const { active = 0, held = 0, accepted = 0, requests, lost = 0 } = view.counters();
  return html`
    <section class="service ${mood}"
      aria-labelledby="${id}-name"><h2 id="${id}-name">${view.name}</h2>
    <p class="sentence" data-says="${view.name} ${mood} ${text}">${text}${since === undefined
      ? "."
      : html`
        since ${time(clock, since)} (${span(clock.now() - since)}).
      `}</p>
    ${[...clusterTroubles(view), ...ordersOf(state)].map((line) =>
      html`<p class="order">${line}</p>`
    )}
    <dl class="facts">
    <div><dt>Ready to take over</dt><dd>${readiness(view)}</dd></div>
    <div><dt>${clients} under way</dt><dd>${active}</dd></div>
    <div><dt>Clients that wait</dt><dd>${held}</dd></div>
    <div><dt>${clients} since the start</dt><dd>${requests ?? accepted}</dd></div>
    <div><dt>Rate</dt><dd>${rateOf(view, clock)}</dd></div>
    <div><dt>Lost since the start</dt><dd>${lost}</dd></div>
    ${worst === "" ? "" : html`
      <div>
        <dt>A fault is noticed after, at worst</dt>
        <dd>${worst}</dd>
      </div>
    `}
    </dl>
    ${buttons === "none" ? "" : serviceButtons(view, id, buttons)}
    <h3>Upstreams</h3>
    ${ladder(settings, view, id)}
    <h3>The last 24 hours</h3>
    ${dayDrawing(incidents.timeline(view.name), clock.wall())}
    <h3>Incidents and changes</h3>
    ${records.length === 0 ? html`<p class="quiet">None is remembered.</p>` : records.map(incident)}
    </section>
  `;
}

function time(clock: Clock, at: number): Html {
  return stamp(new Date(clock.wall() - clock.now() + at).toISOString());
}

/** A time in UTC, which the page's script shows in the reader's own time zone. */
function stamp(iso: string): Html {
  return html`<time datetime="${iso}">${iso.slice(0, 19).replace("T", " ")} UTC</time>`;
}

// ---- Upstreams

function ladder(settings: PageSettings, view: ServiceView, id: string): Html {
  const { upstreams } = view.state();
  const headings = [
    "Upstream",
    "Verdict",
    "Last checks",
    "Latency",
    "Next check",
    "What would change it",
  ];
  return html`
    <table class="ladder">
      <thead>
        <tr>${headings.map((heading) => html`<th scope="col">${heading}</th>`)}</tr>
      </thead>
      <tbody>${upstreams.map((upstream) =>
        rung(settings, view, upstream, `${id}-u${upstream.rank}`)
      )}</tbody>
    </table>
  `;
}

function rung(settings: PageSettings, view: ServiceView, upstream: Upstream, id: string): Html {
  const { clock, buttons } = settings;
  const { name, rank } = upstream;
  const state = view.state();
  const health = state.health.get(name)!;
  const verdict = isUp(health, view.policy)
    ? "up"
    : isDown(health, view.policy)
    ? "down"
    : "unknown";
  const symbol = { up: "✓", down: "✗", unknown: "?" }[verdict];
  const history = view.history(name);
  const last = history.answers.at(-1);
  const nextAt = view.nextCheckAt?.(name);
  const role = upstreamRole(state, name);
  const reason = health.noVerdict?.reason ?? (verdict === "up" ? undefined : health.last?.reason);
  const bar = barIn(view, name);
  const isBarred = bar !== undefined && role !== "active";
  return html`
    <tr>
      <td
        data-label="Upstream"><span><span class="name">${name}</span><br>${rank === 0
          ? "primary"
          : `backup ${rank}`}${role === "standby" ? "" : `, ${role}`}${buttons === "none"
          ? ""
          : upstreamButtons(view, upstream, id, buttons)}</span></td>
      <td
        data-label="Verdict"><span><span class="${verdict}"><span aria-hidden="true">${symbol}</span> ${verdict}</span> ${verdict ===
            "unknown"
          ? ""
          : html`for ${span(clock.now() - health.since)}`}${reason === undefined
          ? ""
          : html`<br>${reason}`}${isBarred
          ? html`<br><span class="barred">may not be chosen: ${bar.reason}</span>`
          : ""}${serverLine(state, name)}</span></td>
      <td data-label="Last checks">${checksDrawing(history)}</td>
      <td data-label="Latency">${last === undefined ? "–" : span(last.tookMs)}</td>
      <td data-label="Next check">${nextAt === undefined
        ? "–"
        : html`in ${span(nextAt - clock.now())}`}</td>
      <td data-label="Would change">${outlook(health, view.policy)}</td>
    </tr>
  `;
}

/** What the server says of itself; nothing where its checks do not learn that. */
function serverLine(state: State, name: string): Html | "" {
  const words = serverWords(state, name);
  return words === undefined ? "" : html`<br><span class="quiet">${words}</span>`;
}

// ---- Orders

interface ButtonText {
  readonly order: string;
  readonly title: string;
  readonly meaning: string;
  readonly query: Readonly<Record<string, string>>;
}

function button(id: string, buttons: "token" | "all", text: ButtonText): Html {
  const { order, title, meaning } = text;
  const query = new URLSearchParams(text.query).toString();
  // Both values are words, because the template would print `true` as an attribute without a value.
  const needsToken = buttons === "token" ? "true" : "false";
  return html`
    <button type="button" id="${id}-${order}" data-order="${order}" data-query="${query}"
      data-title="${title}" data-meaning="${meaning}" data-token="${needsToken}">${title}</button>
  `;
}

function serviceButtons(view: ServiceView, id: string, buttons: "token" | "all"): Html {
  const state = view.state();
  const query = { service: view.name };
  const all: (ButtonText & { readonly isShown: boolean })[] = [
    {
      ...{ order: "pause", title: "Pause", query, isShown: state.paused === undefined },
      meaning: "No automatic decision is made until you resume: no failover, and no failback.",
    },
    {
      ...{ order: "resume", title: "Resume", query, isShown: state.paused !== undefined },
      meaning: "Automatic decisions are made again, beginning with those that were due.",
    },
    {
      ...{ order: "hold", title: "Hold new clients", query, isShown: canHold(view) },
      meaning: "New clients wait until you release them, for as long as --hold at most.",
    },
    {
      ...{
        order: "release",
        title: "Release new clients",
        query,
        isShown: state.held !== undefined,
      },
      meaning: "The clients that wait are let in, and new ones wait no more.",
    },
    {
      ...{ order: "failback", title: "Failback", query },
      isShown: whyNot(state, view.policy, { name: "failback" }) === undefined,
      meaning: "The traffic moves to the best upstream that is up.",
    },
  ];
  return html`<div class="buttons">${
    all.filter(({ isShown }) => isShown).map((each) => button(id, buttons, each))
  }</div>`;
}

function canHold(view: ServiceView): boolean {
  const state = view.state();
  return state.held === undefined && whyNot(state, view.policy, { name: "hold" }) === undefined;
}

function upstreamButtons(
  view: ServiceView,
  { name }: Upstream,
  id: string,
  buttons: "token" | "all",
): Html {
  const state: State = view.state();
  const service = view.name;
  const isDrained = state.drained.has(name);
  const isRefused = (order: "switchover" | "drain") =>
    whyNot(
      state,
      view.policy,
      order === "drain" ? { name: order, upstream: name } : { name: order, to: name },
    );
  const shown: ButtonText[] = [];
  if (isRefused("switchover") === undefined) {
    shown.push({
      ...{ order: "switchover", title: `Switch over to ${name}`, query: { service, to: name } },
      meaning: `The traffic moves from ${activeOf(state)?.upstream.name ?? "nowhere"} to ${name}.`,
    });
  }
  if (isDrained) {
    shown.push({
      ...{ order: "undrain", title: `Undrain ${name}`, query: { service, upstream: name } },
      meaning: `${name} may be chosen again.`,
    });
  } else if (isRefused("drain") === undefined) {
    shown.push({
      ...{ order: "drain", title: `Drain ${name}`, query: { service, upstream: name } },
      meaning: `${name} is not chosen until you undrain it. Its sessions go on.`,
    });
  }
  if (shown.length === 0) return html``;
  return html`<span class="buttons">${shown.map((each) => button(id, buttons, each))}</span>`;
}

// ---- Incidents

/** The newest incidents of a service and changes of the process, newest first. */
function latest(all: readonly IncidentRecord[], service: string): readonly IncidentRecord[] {
  const shown = [service, ""].flatMap((name) =>
    all.filter((record) => record.service === name).slice(-INCIDENTS_SHOWN)
  );
  return all.filter((record) => shown.includes(record)).toReversed();
}

function change(record: IncidentRecord): Html {
  const { id, began, by, changes = [], version } = record;
  return html`<details id="i-${id}"><summary>${stamp(began)} ${sentenceOfIncident(record)}</summary>
${changes.map((line) => html`<p>${line}</p>`)}
<p class="quiet">${by === null ? "" : `Ordered by ${by}. `}Version ${version}. ${id}</p></details>`;
}

function incident(record: IncidentRecord): Html {
  if (isChange(record)) return change(record);
  const { id, began, evidence, triggers } = record;
  const lines = evidence.map((each) =>
    html`
      <tr>
        <td>${stamp(each.time)}</td>
        <td class="name">${each.upstream}</td>
        <td>${each.passed ? "passed" : "failed"}: ${each.reason}</td>
        <td>${span(each.took_ms)}</td>
      </tr>
    `
  );
  const cost = costOfIncident(record).replace(/^s/, "S");
  return html`<details id="i-${id}"><summary>${stamp(began)} ${sentenceOfIncident(record)}</summary>
${waterfall(record)}
${
    lines.length === 0 ? "" : html`
      <table>
        <caption class="unseen">Checks that counted</caption>
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">Upstream</th>
            <th scope="col">Result</th>
            <th scope="col">Took</th>
          </tr>
        </thead>
        <tbody>${lines}</tbody>
      </table>
    `
  }
${
    triggers.map(({ program, reason, took_ms }) =>
      html`<p>Trigger ${program}: ${reason ?? "finished"} in ${span(took_ms)}</p>`
    )
  }<p class="quiet">${cost}. ${id}</p></details>`;
}

// ---- Rate

/** The count of clients at an earlier refresh, by service; every reader of the page shares them. */
const samples = new WeakMap<ServiceView, { at: number; count: number; rate: number | undefined }>();
/** A rate is computed over at least this many milliseconds. */
const SAMPLE_MS = 1_000;

function rateOf(view: ServiceView, clock: Clock): string {
  const { requests, accepted = 0 } = view.counters();
  const [count, at] = [requests ?? accepted, clock.now()];
  const last = samples.get(view);
  if (last === undefined) {
    samples.set(view, { at, count, rate: undefined });
    return "measured from now on";
  }
  const tookMs = at - last.at;
  const rate = tookMs < SAMPLE_MS ? last.rate : (count - last.count) * 1_000 / tookMs;
  if (tookMs >= SAMPLE_MS) samples.set(view, { at, count, rate });
  return rate === undefined ? "measured from now on" : `${rate.toFixed(rate < 10 ? 1 : 0)}/s`;
}
