/**
 * Which server may be chosen where checks know the roles of servers. The rules:
 *
 * - The active server must be the primary, and take writes. An answer that says otherwise counts as a failed
 *   check; one is enough if another server is known to be the primary now.
 * - A primary that is not the one chosen last is stale: an old one that came back. It is the new primary if it was
 *   a standby since that choice, so that somebody else must have promoted it, and the one chosen last is a
 *   standby now, or is gone. It is not if both were seen as primaries and the one chosen last is gone since, or if
 *   nobody knows what it was while the one chosen last went on: what that one acknowledged would be lost.
 * - A standby may be chosen if somebody makes it the primary, if its lag allows that, and if no primary may be
 *   chosen. It may not if it copies a listed server that is not the one chosen last, such as a stale primary.
 * - Before the first choice only the primary may be chosen, and none of two.
 * - A server whose role is unknown may be chosen, but not in the place of a known primary.
 *
 * All this is derived from the last answers; only the standbys since the last choice are part of the state.
 */
import { type Address, formatAddress } from "../base/address.ts";
import { formatBytes } from "../base/bytes.ts";
import { formatDuration } from "../base/duration.ts";
import { isRefusedByOthers } from "./cluster.ts";
import { servedLast, unfinishedOf } from "./memory.ts";
import type { ServerReport } from "./server_report.ts";
import { activeOf, type Policy, type State } from "./state.ts";
import { trustedFor } from "./trust.ts";

/** The longest lag of a standby that may be chosen. */
export type MaxLag = { readonly bytes: number } | { readonly seconds: number };

/** The settings of a check that knows roles. */
export interface RolePolicy {
  /** Undefined: any lag. */
  readonly maxLag: MaxLag | undefined;
  /** Who makes a chosen standby the primary: this program, a trigger, or somebody whom it only follows. */
  readonly promotedBy: "us" | "trigger" | "others";
}

/** Why a server that is up may not be chosen. */
export interface Bar {
  /**
   * `rival`: it was a standby since the last choice, and a primary while the one chosen then was one too.
   * `demoted`: it is active, and a standby. `orphan`: a standby that nobody was chosen before. `follows`: another
   * server is the primary. `strayed`: a standby that copies another server than the one chosen last. `waits`: a standby
   * that somebody else may promote. `ambiguous`: one of two primaries before the first choice.
   */
  readonly kind:
    | "starting"
    | "stopping"
    | "read only"
    | "stale"
    | "rival"
    | "ambiguous"
    | "demoted"
    | "orphan"
    | "follows"
    | "strayed"
    | "lag"
    | "waits";
  /** For a person; a part of a sentence. */
  readonly reason: string;
}

/** How far a standby is behind; undefined where nobody knows. */
export interface Lag {
  readonly bytes: number | undefined;
  readonly seconds: number | undefined;
}

/** The answer of a server that is alive, as far as the last check has learned it. */
export function reportOf(state: State, name: string): ServerReport | undefined {
  return state.health.get(name)?.last?.server;
}

/** Why this server may not be chosen; undefined if it may, or if its checks know no roles. */
export function barOf(state: State, { roles }: Policy, name: string): Bar | undefined {
  const report = reportOf(state, name);
  if (roles === undefined || report === undefined) return undefined;
  if (report.phase === "starting") return { kind: "starting", reason: "it is starting" };
  if (report.phase !== "running") return { kind: "stopping", reason: "it is shutting down" };
  switch (report.role) {
    case "primary":
      return barOfPrimary(state, name, report);
    case "standby":
      return barOfStandby(state, roles, name);
    case "unknown":
      return followed(state, name);
  }
}

function barOfPrimary(state: State, name: string, { readOnly }: ServerReport): Bar | undefined {
  if (readOnly === true) return { kind: "read only", reason: "it takes no writes" };
  const chosen = trustedFor(state, name);
  if (chosen === name) return undefined;
  if (chosen === undefined) {
    const other = state.upstreams.find((each) =>
      each.name !== name && takesWrites(state, each.name)
    );
    return other && ambiguous(other.name);
  }
  if (isNewPrimary(state, name, chosen)) {
    const other = otherNewPrimary(state, name, chosen);
    return other === undefined ? undefined : ambiguous(other);
  }
  return state.standbys.has(name)
    ? { kind: "rival", reason: `it takes writes, and so did ${chosen}, which was chosen last` }
    : { kind: "stale", reason: `it takes writes, but ${chosen} was chosen last: stale primary` };
}

function ambiguous(other: string): Bar {
  const reason = `${other} takes writes as well, and nobody has said which one is stale`;
  return { kind: "ambiguous", reason };
}

/**
 * A third server that became a primary as well since `chosen` was chosen, whether it is alive now or not. A rival must
 * be the only one that takes writes.
 */
function otherNewPrimary(state: State, name: string, chosen: string): string | undefined {
  const isRival = state.standbys.get(name) === "rival";
  return state.upstreams.find(({ name: other }) => {
    if (other === name || other === chosen) return false;
    const seen = state.standbys.get(other);
    return seen === "promoted" || seen === "rival" || (isRival && takesWrites(state, other));
  })?.name;
}

/** Whether somebody else has made `name` the primary after `chosen` was chosen. */
function isNewPrimary(state: State, name: string, chosen: string): boolean {
  if (takesWrites(state, chosen)) return false;
  const seen = state.standbys.get(name);
  return seen === "standby" || seen === "promoted" ||
    (seen === "rival" && state.health.get(chosen)?.server?.role === "standby");
}

function barOfStandby(state: State, roles: RolePolicy, name: string): Bar | undefined {
  const { phase } = state;
  if (phase.name === "promoting" && phase.candidate.name === name) return undefined;
  // Its promotion was interrupted by a restart, and is repeated.
  if (phase.name !== "serving" && unfinishedOf(state.remembered)?.to === name) return undefined;
  if (activeOf(state)?.upstream.name === name || isLeft(state, name)) {
    return isBeingPromoted(state) ? undefined : { kind: "demoted", reason: "it is a standby now" };
  }
  if (roles.promotedBy === "others") {
    return { kind: "waits", reason: "it is a standby, and nothing here promotes it" };
  }
  const chosen = trustedFor(state, name);
  if (chosen === undefined || chosen === name) {
    const reason = "it is a standby, and no other server was chosen that it could take over from";
    return { kind: "orphan", reason };
  }
  const stray = strayedTo(state, name, chosen);
  if (stray !== undefined) {
    return { kind: "strayed", reason: `it copies ${stray}, and ${chosen} was chosen last` };
  }
  return followed(state, name) ?? barOfLag(lagOf(state, name), roles.maxLag);
}

/**
 * The listed server that a standby copies, over other standbys or directly, if that is neither `chosen` nor was seen as
 * a standby since the choice: what `chosen` has acknowledged is not there. Undefined also if nobody knows.
 */
function strayedTo(state: State, name: string, chosen: string): string | undefined {
  let at = name;
  for (let links = 0; links < state.upstreams.length; links++) {
    const source = reportOf(state, at)?.source;
    const next = source === undefined ? undefined : upstreamAt(state, at, source);
    if (next === undefined || next === chosen || next === name) return undefined;
    const isStandby = reportOf(state, next)?.role === "standby" ||
      state.standbys.get(next) === "standby";
    if (!isStandby) return next;
    at = next;
  }
}

/**
 * The upstream of the list that the server `name` calls `source`; undefined if it is none, or is written in another way
 * there. `127.0.0.1` is a server's own machine: it is the same one here only where `name` is listed with it as well.
 */
function upstreamAt({ upstreams }: State, name: string, source: string): string | undefined {
  const isIt = (text: string) => text.toLowerCase() === source;
  const own = upstreams.find((each) => each.name === name)!.address;
  if (LOOPBACK.test(source) && !(own.kind === "tcp" && source.startsWith(hostOf(own)))) return;
  return upstreams.find(({ name, address }) => isIt(name) || isIt(formatAddress(address)))?.name;
}

const LOOPBACK = /^(127\.|\[::1\]|localhost:)/;

/** As it stands before the port, which follows a colon. */
function hostOf(address: Address & { kind: "tcp" }): string {
  return formatAddress(address).replace(/\d+$/, "").toLowerCase();
}

/** Traffic may return to it if the promotion of another one fails. */
function isLeft({ phase }: State, name: string): boolean {
  return phase.name === "promoting" && phase.back?.upstream.name === name;
}

/** Its triggers run beside the traffic. */
function isBeingPromoted({ phase }: State): boolean {
  return phase.name === "serving" && phase.triggers.is !== "ran" && phase.triggers.is !== "failed";
}

function followed(state: State, name: string): Bar | undefined {
  const other = newPrimary(state, name);
  return other === undefined
    ? undefined
    : { kind: "follows", reason: `${other} is the primary, and may be chosen` };
}

/**
 * A primary beside `name` and the active server that may be chosen; undefined if there is none. One that the operator
 * has drained, that the operator's own program refuses, or that is down for all proxies together, may not, however well it
 * is for this one.
 */
export function newPrimary(state: State, name: string): string | undefined {
  const active = activeOf(state)?.upstream.name;
  return state.upstreams.find((other) => {
    if (other.name === name || other.name === active || state.drained.has(other.name)) return false;
    const last = state.health.get(other.name)?.last;
    // What could not be asked says nothing against it.
    if (last?.passed !== true && last?.evidence !== "no_verdict") return false;
    const report = reportOf(state, other.name);
    return report !== undefined && takesWrites(state, other.name) &&
      barOfPrimary(state, other.name, report) === undefined &&
      !isRefusedByOthers(state, other.name);
  })?.name;
}

/** Whether the last answer of a server says that it is a primary and takes writes. */
export function takesWrites(state: State, name: string): boolean {
  const report = reportOf(state, name);
  return report?.role === "primary" && report.phase === "running" && report.readOnly !== true;
}

/** How far a standby was behind at its last answer. Before the first choice it was not known behind whom. */
export function lagOf(state: State, name: string): Lag {
  const report = state.health.get(name)?.server;
  if (report?.role !== "standby") return { bytes: undefined, seconds: undefined };
  const { lagBytes, lagSeconds } = report.lagBytes === undefined
    ? withLag(state, name, report)
    : report;
  return { bytes: lagBytes, seconds: lagSeconds };
}

/**
 * The report of a standby with its lag: in bytes by the last position of the primary. Without its primary a standby
 * does not know how far it is behind, or only how old its newest change is, which says nothing when nobody has
 * written. So what it said while the primary was alive goes on to count.
 */
export function withLag(state: State, name: string, report: ServerReport): ServerReport {
  const chosen = trustedFor(state, name);
  if (report.role !== "standby" || chosen === undefined || chosen === name) return report;
  const { server: primary, doubt = "none" } = state.health.get(chosen) ?? {};
  if (primary?.role !== "primary") return report;
  const behind = primary.position === undefined || report.position === undefined
    ? undefined
    : Math.max(0, primary.position - report.position);
  if (behind === 0) return { ...report, lagBytes: 0, lagSeconds: 0 };
  const before = state.health.get(name)?.server;
  const isAlive = takesWrites(state, chosen) && doubt === "none";
  const lagBytes = behind ?? (isAlive ? undefined : before?.lagBytes) ?? report.lagBytes;
  const lagSeconds = (isAlive ? undefined : before?.lagSeconds) ?? report.lagSeconds;
  return {
    ...report,
    ...lagBytes === undefined ? {} : { lagBytes },
    ...lagSeconds === undefined ? {} : { lagSeconds },
  };
}

function barOfLag({ bytes, seconds }: Lag, most: MaxLag | undefined): Bar | undefined {
  if (most === undefined) return undefined;
  const [lag, max, format] = "bytes" in most
    ? [bytes, most.bytes, (count: number) => formatBytes(Math.round(count))]
    : [seconds, most.seconds, (count: number) => formatDuration(Math.round(count * 1_000))];
  const limit = `--max-lag ${format(max)}`;
  if (lag === undefined) {
    return { kind: "lag", reason: `nobody knows how far it is behind (${limit})` };
  }
  return lag <= max ? undefined : { kind: "lag", reason: `it is ${format(lag)} behind (${limit})` };
}

/**
 * Whether an operator may choose a server in spite of its bar: to say which one of two primaries is right, or that a
 * standby is to be promoted, as long as no primary serves, or is about to. While nobody serves, neither the server that
 * is being promoted nor the one that served before it may take writes.
 */
export function mayOverrule(state: State, name: string, { kind }: Bar): boolean {
  const isOpen = kind === "stale" || kind === "rival" || kind === "ambiguous" ||
    kind === "orphan" ||
    kind === "strayed";
  if (!isOpen) return false;
  const active = activeOf(state)?.upstream.name;
  if (active === undefined) {
    return [trustedFor(state, name), servedLast(state)].every((other) =>
      other === undefined || other === name || !takesWrites(state, other) ||
      isRefusedByOthers(state, other)
    );
  }
  if (active === name) return true;
  // What it answered before it was promoted says nothing of what it has acknowledged since.
  const { passedAt = -Infinity, failedAt = -Infinity } = state.health.get(active)!;
  const isAnswered = Math.max(passedAt, failedAt) >= (state.lastServed?.since ?? -Infinity);
  return isAnswered && !takesWrites(state, active);
}
