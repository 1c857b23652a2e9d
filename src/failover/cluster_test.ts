import { assert, assertEquals } from "@std/assert";
import {
  type ClusterView,
  countVotes,
  CUT_OFF,
  isDoubtedAnew,
  isDoubtedByOthers,
  isDownForAll,
  isRefusedByOthers,
  mayDecide,
  mayLead,
  type Vote,
  voteOf,
  whyUndecided,
} from "./cluster.ts";
import { type Health, unknownHealth } from "./health.ts";
import { POLICY } from "./testing/policy.ts";
import type { ProbeResult } from "./ports.ts";
import { NO_VERDICT, PASSED } from "./testing/results.ts";
import { START } from "./testing/states.ts";

const UP: Health = {
  ...unknownHealth(0),
  ...{ level: POLICY.rise + POLICY.fall - 1, passedAt: 9, last: passed(1) },
};
const DOWN: Health = { ...unknownHealth(7), level: 0, passedAt: 4, failingSince: 5 };
/** A check that took so long, in milliseconds. */
function passed(tookMs: number): ProbeResult {
  return { ...PASSED, tookMs };
}
/** What a proxy sees of `a` that reaches another upstream. */
const sees = (verdict: "up" | "down", traffic: Vote["traffic"] = "none"): Vote => ({
  up: verdict === "up" ? ["a"] : ["c"],
  down: verdict === "down" ? ["a"] : [],
  traffic,
});
const with_ = (votes: readonly Vote[], traffic: Vote["traffic"] = "none"): ClusterView => ({
  ...CUT_OFF,
  role: "leads",
  others: new Map(votes.map((vote, index) => [`p${index}`, vote])),
  traffic,
});
const SERVED = { to: "a", promotion: undefined, since: 0 };
/** The verdict on `a`, of a proxy with this health of it, which sees `b` up unless `b` is given. */
function isDown(own: Health, view: ClusterView, b = UP): boolean {
  const state = { ...START, health: new Map([["a", own], ["b", b]]), lastServed: SERVED };
  return isDownForAll(view, voteOf(state, POLICY, view.traffic), "a");
}

Deno.test("isDownForAll() is the verdict of a majority of those that have checked", () => {
  assert(isDown(DOWN, with_([])), "the only live proxy decides");
  assert(!isDown(UP, with_([])));
  assert(isDown(DOWN, with_([sees("down"), sees("up")])));
  assert(!isDown(DOWN, with_([sees("up"), sees("up")])), "it alone sees it down");
  assert(isDown(UP, with_([sees("down"), sees("down")])), "it alone sees it up");
  const unchecked: Vote = { up: [], down: [], traffic: "none" };
  assert(isDown(DOWN, with_([unchecked, unchecked])), "those without a verdict have no vote");
  const short = { ...DOWN, noVerdict: { since: 0, reason: NO_VERDICT.reason, verdicts: 0 } };
  assert(!isDown(short, with_([])), "a proxy that lacks descriptors has no vote");
});

Deno.test("isDownForAll() lets the traffic decide between two halves", () => {
  assert(!isDown(DOWN, with_([sees("up")])), "without traffic nothing is promoted");
  assert(isDown(DOWN, with_([sees("up")], "fails")));
  assert(!isDown(DOWN, with_([sees("up", "flows")], "fails")), "clients of the other are served");
  assert(!isDown(UP, with_([sees("down", "fails")], "flows")), "clients of this one are served");
  assert(isDown(UP, with_([sees("down", "fails")])));
  assert(!isDown(UP, with_([sees("up")])), "nobody sees it down");
});

Deno.test("voteOf() says that clients fail only if another upstream was reached all the time", () => {
  const proves = (b: Health) => isDown(DOWN, with_([sees("up")], "fails"), b);
  assert(proves({ ...UP, failedAt: 3 }), "both were reached after that");
  assert(!proves(DOWN));
  assert(!proves({ ...UP, failingSince: 8, failedAt: 9 }), "it fails, and is not yet down");
  assert(!proves({ ...UP, failedAt: 6 }), "it failed as well for a moment");
  assert(!proves({ ...UP, last: passed(3) }), "that check began before the other one was down");
  assert(!proves({ ...UP, passedAt: undefined, last: undefined }), "it is only remembered");
  const health = new Map([["a", { ...DOWN, passedAt: undefined }], ["b", UP]]);
  const state = { ...START, health, lastServed: SERVED };
  assertEquals(voteOf(state, POLICY, "fails").traffic, "fails");
});

Deno.test("isRefusedByOthers() keeps a candidate from being chosen that is down for the others", () => {
  const refused = (cluster: ClusterView | undefined, served = "a") =>
    isRefusedByOthers(
      { cluster, lastServed: { to: served, promotion: undefined, since: 0 } },
      "a",
    );
  assert(!refused(undefined));
  assert(!refused(with_([sees("down")])), "one of two is no majority");
  assert(refused(with_([sees("down"), sees("down")])));
  assert(refused(with_([sees("down", "fails")])), "it was left for that");
  assert(!refused(with_([sees("down", "fails")]), "b"), "the traffic tells of another one");
});

Deno.test("isDoubtedAnew() is true when one more proxy sees an upstream down", () => {
  const view = (...proxies: string[]) => ({
    ...CUT_OFF,
    others: new Map(
      proxies.map((name) => [name, { up: [], down: ["a"], traffic: "none" as const }]),
    ),
  });
  assertEquals(isDoubtedAnew(undefined, view("p1"), "a"), true);
  assertEquals(isDoubtedAnew(view("p1"), view("p1"), "a"), false);
  assertEquals(isDoubtedAnew(view("p1"), view("p1", "p2"), "a"), true);
  assertEquals(isDoubtedAnew(undefined, view("p1"), "b"), false);
});

Deno.test("isDoubtedByOthers() is true if half of the proxies see an upstream down", () => {
  assert(!isDoubtedByOthers(undefined, "a") && !isDoubtedByOthers(with_([]), "a"));
  assert(isDoubtedByOthers(with_([sees("down")]), "a"));
  assert(!isDoubtedByOthers(with_([sees("down"), sees("up")]), "a"));
});

Deno.test("mayDecide() is true for a proxy that is alone or leads, and is not paused", () => {
  const paused = { by: "ann", reason: "", since: 0 };
  assert(mayDecide({ paused: undefined, cluster: undefined }));
  assert(mayDecide({ paused: undefined, cluster: with_([]) }));
  for (
    const [state, why] of [
      [{ paused, cluster: undefined }, "the service is paused"],
      [{ paused: undefined, cluster: CUT_OFF }, "the coordinator cannot be reached"],
      [
        { paused: undefined, cluster: { ...CUT_OFF, role: "follows", leader: "p1" } },
        "p1 leads",
      ],
    ] as const
  ) {
    assert(!mayDecide(state));
    assertEquals(whyUndecided(state), why);
  }
});

Deno.test("mayLead() is false while only others see an upstream that could be promoted", () => {
  const nothing: Vote = { up: [], down: ["a"], traffic: "none" };
  assert(mayLead(sees("up"), []));
  assert(mayLead(nothing, []), "nobody can do better");
  assert(mayLead(nothing, [nothing]));
  assert(!mayLead(nothing, [nothing, sees("up")]));
});

Deno.test("voteOf() and countVotes() leave out what has not been checked", () => {
  const state = { ...START, health: new Map([["a", UP], ["b", unknownHealth(0)]]) };
  assertEquals(voteOf(state, POLICY, "flows"), { up: ["a"], down: [], traffic: "flows" });
  assertEquals(countVotes(with_([sees("down")]), "b", "none"), { down: 0, live: 0 });
  assertEquals(countVotes(with_([sees("down")]), "a", "up"), { down: 1, live: 2 });
});
