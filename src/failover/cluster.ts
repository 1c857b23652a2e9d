/**
 * Several proxies, one decision: what the machine knows of the other proxies, and the rules that follow from
 * it. A proxy that is alone has none of this (`State.cluster` is undefined).
 *
 * One proxy leads and decides. Its decision is stored where all of them read it, before its triggers begin
 * (`promoting`) and after they have ended (`done`). The others follow: they hold their clients at `promoting`
 * and open at `done`. Whoever can't reach the store is cut off: it serves what was decided last and
 * decides nothing.
 */
import type { MoveKind } from "../events/events.ts";
import { type Health, isDown, isUp, type Thresholds } from "./health.ts";
import { activeOf, type State } from "./state.ts";

/** How long a promotion waits until the other proxies hold their clients, in milliseconds. */
export const HELD_MS = 1_000;

/** The decision that all proxies share. */
export interface Decision {
  /** Only grows. */
  readonly epoch: number;
  readonly to: string;
  /** Who served before; undefined at the very first decision. */
  readonly from: string | undefined;
  readonly phase: "promoting" | "done";
  readonly move: MoveKind;
  readonly reason: string;
  /** The proxy that decided. */
  readonly by: string;
}

/**
 * What clients of a proxy experience with the active upstream: bytes move, connections fail, or there are no
 * clients.
 */
export type Traffic = "flows" | "fails" | "none";

/** What one proxy sees. An upstream on neither list has not been checked. */
export interface Vote {
  readonly up: readonly string[];
  readonly down: readonly string[];
  readonly traffic: Traffic;
}

/** What the machine knows of the cluster. It is replaced as a whole. */
export interface ClusterView {
  /** The name of this proxy in the cluster, as `Decision.by` has it; empty before the store has answered. */
  readonly instance: string;
  readonly role: "leads" | "follows" | "cutOff";
  /** The proxy that leads; undefined if none does, or that is not known. */
  readonly leader: string | undefined;
  readonly decision: Decision | undefined;
  /** The revision at which the decision was stored, a number that only grows; missing if it is not known. */
  readonly fence?: number;
  /** The votes of the other live proxies, by proxy. */
  readonly others: ReadonlyMap<string, Vote>;
  /** The traffic of this proxy. */
  readonly traffic: Traffic;
  /** What the operator ordered for all; undefined if nothing is stored yet. */
  readonly orders: SharedOrders | undefined;
}

/** The orders that stand for all proxies. Each names who gave it, and why. */
export interface SharedOrders {
  readonly paused: { readonly by: string; readonly reason: string } | undefined;
  readonly drained: ReadonlyMap<string, { readonly by: string; readonly reason: string }>;
  readonly pinned: string | undefined;
}

/** For reports: one proxy of the cluster. */
export interface ProxyReport {
  readonly instance: string;
  readonly version: string;
  readonly up: readonly string[];
  readonly down: readonly string[];
  /** How it differs from the proxy that reports, for a person; undefined if it does not. */
  readonly differs: string | undefined;
}

/** The cluster, as one proxy sees it. */
export interface ClusterReport {
  readonly instance: string;
  readonly role: "leads" | "follows" | "cutOff" | "alone";
  readonly leader: string | undefined;
  readonly isReachable: boolean;
  /** Why the last call failed; undefined if it did not. */
  readonly reason: string | undefined;
  /** How long the lease of this proxy lasts for certain, in milliseconds. */
  readonly leaseLeftMs: number;
  readonly decision: Decision | undefined;
  /** All live proxies, also this one. */
  readonly proxies: readonly ProxyReport[];
}

/** The view before the store has answered for the first time. */
export const CUT_OFF: ClusterView = {
  instance: "",
  role: "cutOff",
  leader: undefined,
  decision: undefined,
  others: new Map(),
  traffic: "none",
  orders: undefined,
};

/** Whether this proxy may make automatic decisions now: it is alone or leads, and is not paused. */
export function mayDecide({ paused, cluster }: Pick<State, "paused" | "cluster">): boolean {
  return paused === undefined && (cluster === undefined || cluster.role === "leads");
}

/** Why no decision is made, for a person. Call it only if `mayDecide` is false. */
export function whyUndecided({ paused, cluster }: Pick<State, "paused" | "cluster">): string {
  if (paused !== undefined) return "the service is paused";
  if (cluster?.role === "follows") return `${cluster.leader ?? "no proxy"} leads`;
  return "the coordinator cannot be reached";
}

/** How many of the live proxies that have checked an upstream see it down. */
export interface VoteCount {
  readonly down: number;
  readonly live: number;
}

/** Counts the votes on `upstream`; `own` is the verdict of this proxy. */
export function countVotes(
  { others }: ClusterView,
  upstream: string,
  own: "up" | "down" | "none",
): VoteCount {
  let down = own === "down" ? 1 : 0;
  let live = own === "none" ? 0 : 1;
  for (const vote of others.values()) {
    if (vote.down.includes(upstream)) down++;
    else if (!vote.up.includes(upstream)) continue;
    live++;
  }
  return { down, live };
}

/**
 * Whether the active upstream is down for the cluster: a majority of the live proxies sees it down; `own` is what
 * this one sees. When they are divided in halves, the traffic decides: it is down if clients of one that sees it
 * down fail, and no client of one that sees it up moves bytes.
 */
export function isDownForAll(view: ClusterView, own: Vote, upstream: string): boolean {
  const { down, live } = countVotes(view, upstream, verdictIn(own, upstream));
  if (down * 2 !== live) return down * 2 > live;
  if (down === 0) return false;
  const voters = [own, ...view.others.values()];
  const flows = voters.some(({ up, traffic }) => up.includes(upstream) && traffic === "flows");
  const fails = voters.some(({ down, traffic }) => down.includes(upstream) && traffic === "fails");
  return fails && !flows;
}

function verdictIn({ up, down }: Vote, upstream: string): "up" | "down" | "none" {
  return up.includes(upstream) ? "up" : down.includes(upstream) ? "down" : "none";
}

/**
 * Whether `upstream` is down for all although this proxy, which is asking, sees it up. Traffic tells only of the one
 * that serves, or did last.
 */
export function isRefusedByOthers(
  { cluster, lastServed }: Pick<State, "cluster" | "lastServed">,
  upstream: string,
): boolean {
  if (cluster === undefined) return false;
  const { down, live } = countVotes(cluster, upstream, "up");
  if (down * 2 !== live || lastServed?.to !== upstream) return down * 2 > live;
  return isDownForAll(cluster, { up: [upstream], down: [], traffic: cluster.traffic }, upstream);
}

/** Whether as many proxies see `upstream` down as up, or more: no reason to leave it, but one not to return to it. */
export function isDoubtedByOthers(cluster: ClusterView | undefined, upstream: string): boolean {
  if (cluster === undefined) return false;
  const { down, live } = countVotes(cluster, upstream, "up");
  return down * 2 >= live;
}

/** Whether another proxy has begun to see `upstream` down. */
export function isDoubtedAnew(
  before: ClusterView | undefined,
  { others }: ClusterView,
  upstream: string,
): boolean {
  return [...others].some(([proxy, vote]) =>
    vote.down.includes(upstream) && before?.others.get(proxy)?.down.includes(upstream) !== true
  );
}

/**
 * What this proxy sees, for the others. Its clients may fail because of its own network, and prove something only if it
 * reached another upstream all the time.
 */
export function voteOf(
  state: State,
  thresholds: Thresholds,
  traffic: Traffic,
): Vote {
  const { upstreams, health } = state;
  const named = (verdict: "up" | "down") =>
    upstreams.map(({ name }) => name)
      .filter((name) => verdictOf(health.get(name)!, thresholds) === verdict);
  const [up, down] = [named("up"), named("down")];
  const served = activeOf(state)?.upstream.name ?? state.lastServed?.to ?? "";
  const isProof = traffic !== "fails" ||
    down.includes(served) && up.some((name) => isReached(health.get(name)!, health.get(served)!));
  return { up, down, traffic: isProof ? traffic : "none" };
}

/**
 * Whether an upstream was reached all the time while `lost` went down: no check of it has failed since the last one of
 * `lost` passed, and one has passed that began after `lost` was down. One that began before, or a series of failures
 * that was too short for a verdict, says nothing of the network after that.
 */
function isReached({ failedAt, failingSince, passedAt, last }: Health, lost: Health): boolean {
  if (failingSince !== undefined || passedAt === undefined || last === undefined) return false;
  if (lost.failingSince === undefined) return false;
  const isSteady = failedAt === undefined || failedAt < (lost.passedAt ?? -Infinity);
  return isSteady && passedAt - last.tookMs >= lost.since;
}

/**
 * Whether this proxy may lead: not while it sees every upstream down and another one sees one up, since it
 * could promote none.
 */
export function mayLead(own: Vote, others: Iterable<Vote>): boolean {
  return own.up.length > 0 || ![...others].some((vote) => vote.up.length > 0);
}

function verdictOf(health: Health, thresholds: Thresholds): "up" | "down" | "none" {
  if (health.noVerdict !== undefined) return "none";
  return isUp(health, thresholds) ? "up" : isDown(health, thresholds) ? "down" : "none";
}
