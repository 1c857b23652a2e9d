/** The state of a service in sentences, for the page. Pure. */
import { formatBytes } from "../base/bytes.ts";
import { formatDuration } from "../base/duration.ts";
import { lagOf, reportOf } from "../failover/roles.ts";
import { activeOf, type State } from "../failover/state.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { ConfigState } from "./config_state.ts";
import { barIn, couldTakeOver, isReady, type ServiceView } from "./view.ts";

/** The best state first: the primary serves, another upstream does, nothing is decided, clients get none. */
export type Mood = "primary" | "backup" | "moving" | "out";

/** One sentence: what serves since when, or why nothing does. */
export interface Sentence {
  readonly mood: Mood;
  readonly text: string;
  /** In the machine's time, in milliseconds; undefined if there is no such moment. */
  readonly since: number | undefined;
}

/** The sentence for a state, about what new clients meet. */
export function serviceSentence(state: State): Sentence {
  const { admission, phase, lastServed } = state;
  const active = activeOf(state)?.upstream;
  if (active !== undefined) {
    const what = phase.name === "promoting"
      ? `${placed(active)} serves, and traffic is about to move to ${phase.candidate.name}`
      : `${placed(active)} serves`;
    const mood = active.rank > 0 ? "backup" : phase.name === "promoting" ? "moving" : "primary";
    return { mood, text: what, since: lastServed?.since };
  }
  if (admission.is === "failOpen") {
    const why = state.cluster?.role === "cutOff"
      ? "No upstream is chosen, since etcd cannot be used"
      : "No upstream passes its checks";
    const text = `${why}; clients are let through to ${admission.target}`;
    return { mood: "out", text, since: admission.outSince };
  }
  const since = admission.is === "open" ? undefined : admission.outSince;
  if (phase.name === "promoting") {
    const text = `${placed(phase.candidate)} is being promoted; ${clients(state)}`;
    return { mood: "moving", text, since };
  }
  const why = "reason" in phase && phase.reason !== "start" ? ` (${phase.reason})` : "";
  const text = phase.name === "waiting"
    ? `No upstream is usable${why}; ${clients(state)}`
    : `An upstream is being chosen${why}; ${clients(state)}`;
  return { mood: phase.name === "waiting" ? "out" : "moving", text, since };
}

function clients({ admission, held }: State): string {
  const waits = held !== undefined || admission.is === "holding";
  return waits ? "new clients wait" : "new clients are refused";
}

/** `db1:5432, the primary,`: an upstream with its place in the operator's list. */
function placed({ name, rank }: Upstream): string {
  return rank === 0 ? `${name}, the primary,` : `${name}, backup ${rank},`;
}

/** What the operator's standing orders are, one line each. */
export function ordersOf(state: State): readonly string[] {
  const { paused, held, drained, pinned } = state;
  const by = ({ by, reason }: { by: string; reason: string }) =>
    `by ${by}${reason === "" ? "" : `: ${reason}`}`;
  return [
    ...paused === undefined ? [] : [`Paused ${by(paused)}. No automatic decision is made.`],
    ...held === undefined ? [] : [`New clients are held ${by(held)}.`],
    ...[...drained].map(([name, order]) => `${name} is drained ${by(order)}.`),
    ...pinned === undefined ? [] : [`There is no failback from ${pinned}, which an order chose.`],
  ];
}

/** Whether somebody could take over now, and if not, why. */
export function readiness(view: ServiceView): string {
  const { upstreams, health, drained, ...state } = view.state();
  const active = activeOf({ upstreams, health, drained, ...state })?.upstream.name;
  const others = upstreams.filter(({ name }) => name !== active);
  if (isReady(view)) {
    const ready = others.find(({ name }) => couldTakeOver(view, name));
    return `Yes: ${ready!.name}`;
  }
  if (state.paused !== undefined) return "No: the service is paused";
  if (state.cluster?.role === "cutOff") return "No: etcd cannot be used";
  if (others.length === 0) return "No: there is no other upstream";
  const why = others.map(({ name }) => {
    if (drained.has(name)) return `${name} is drained`;
    const bar = barIn(view, name);
    if (bar !== undefined) return `${name} is up, but ${bar.reason}`;
    return `${name}: ${health.get(name)?.last?.reason ?? "not checked yet"}`;
  });
  return `No: ${why.join("; ")}`;
}

/** What a server says of itself, such as `standby, 1.5MB and 2s behind`; undefined if it does not say anything. */
export function serverWords(state: State, name: string): string | undefined {
  const report = reportOf(state, name);
  if (report === undefined) return undefined;
  const { role, phase, readOnly, reason } = report;
  if (phase !== "running") return phase;
  if (role === "unknown") return `role unknown${reason === undefined ? "" : `: ${reason}`}`;
  if (role === "primary") return readOnly === true ? "primary, takes no writes" : role;
  const { bytes, seconds } = lagOf(state, name);
  const lag = [
    ...bytes === undefined ? [] : [formatBytes(Math.round(bytes))],
    ...seconds === undefined ? [] : [formatDuration(Math.round(seconds * 1_000))],
  ];
  return lag.length === 0 ? role : `${role}, ${lag.join(" and ")} behind`;
}

/** When the config was read, and what became of the last reload. `wallMs`: now, in milliseconds since 1970. */
export function configWords(
  { readAt, lastReload }: ConfigState,
  wallMs: number,
): { readonly text: string; readonly isAlarming: boolean } {
  const ago = (ms: number) => `${span(Math.max(0, wallMs - ms))} ago`;
  const read = `The config in force was read ${ago(readAt)}.`;
  if (lastReload === undefined) return { text: read, isAlarming: false };
  const { at, by, outcome, changes, errors } = lastReload;
  if (outcome === "refused") {
    const text = `The reload ordered by ${by} ${ago(at)} was refused: ${
      errors.join(". ")
    }. ${read}`;
    return { text, isAlarming: true };
  }
  const what = changes.length === 0 ? "nothing has changed" : changes.join("; ");
  return { text: `${read} Last reload ${ago(at)}, by ${by}: ${what}.`, isAlarming: false };
}

/** A time span for people, with its two largest units: `3d 2h`, `5m 10s`, `450ms`. */
export function span(ms: number): string {
  if (ms > 0 && ms < 1) return "under 1ms";
  const rounded = ms >= 60_000
    ? Math.round(ms / 1_000) * 1_000
    : ms >= 1_000
    ? Math.round(ms / 100) * 100
    : Math.max(0, Math.round(ms));
  if (rounded === Infinity) return "for ever";
  const units = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "m"], [1_000, "s"]] as const;
  const first = units.findIndex(([unit]) => rounded >= unit);
  if (first < 0 || rounded < 60_000) return formatDuration(rounded);
  const [[large, name], next] = [units[first]!, units[first + 1]];
  const rest = next === undefined ? 0 : Math.floor((rounded % large) / next[0]);
  return `${Math.floor(rounded / large)}${name}${rest === 0 ? "" : ` ${rest}${next![1]}`}`;
}
