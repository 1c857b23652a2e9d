import { assertEquals } from "@std/assert";
import { parseAddress } from "../base/address.ts";
import { unknownHealth } from "./health.ts";
import { CUT_OFF } from "./cluster.ts";
import { barOf, lagOf, mayOverrule, newPrimary, type RolePolicy, takesWrites } from "./roles.ts";
import type { ServerReport } from "./server_report.ts";
import type { Phase, Policy, State } from "./state.ts";
import { POLICY } from "./testing/policy.ts";
import { promoting, serving, stateOf } from "./testing/states.ts";

const PRIMARY: ServerReport = { role: "primary", phase: "running" };
const STANDBY: ServerReport = { role: "standby", phase: "running" };
const DOWN = undefined;
const ORDER = { by: "ann", reason: "", since: 0 };
const WAITING: Phase = {
  name: "waiting",
  round: 2,
  reason: "",
  until: 9,
  passedOver: new Set(),
};

/** The state in which these two servers have answered so; without an answer one is down. */
function withReports(state: State, a?: ServerReport, b?: ServerReport): State {
  const health = new Map([["a", a], ["b", b]] as const).entries().map(([name, server]) => {
    const answer = { tookMs: 1, reason: "" };
    const last = server === undefined
      ? { ...answer, passed: false, evidence: "refused" as const }
      : { ...answer, passed: true, evidence: "passed" as const, server };
    return [name, { ...unknownHealth(0), last, server }] as const;
  });
  return { ...state, health: new Map(health) };
}

function policy(roles: Partial<RolePolicy> = {}): Policy {
  return { ...POLICY, roles: { maxLag: undefined, promotedBy: "us", ...roles } };
}

/** The kinds of the bars of both servers; `-` for none. */
function bars(state: State, roles?: Partial<RolePolicy>): string {
  return ["a", "b"].map((name) => barOf(state, policy(roles), name)?.kind ?? "-").join(", ");
}

// In `stateOf`, `a` was chosen last.
const lost = stateOf(WAITING);
const first = { ...lost, lastChosen: undefined };
const active = { ...stateOf(serving({ is: "ran" })), lastChosen: "b" };

Deno.test("checks that know no roles bar nobody", () => {
  const state = withReports(lost, STANDBY, PRIMARY);
  assertEquals(["a", "b"].map((name) => barOf(state, POLICY, name)), [undefined, undefined]);
});

Deno.test("before the first choice only the primary may be chosen, and none of two", () => {
  assertEquals(bars(withReports(first, STANDBY, PRIMARY)), "orphan, -");
  assertEquals(bars(withReports(first, STANDBY, STANDBY)), "orphan, orphan");
  assertEquals(bars(withReports(first, PRIMARY, PRIMARY)), "ambiguous, ambiguous");
  assertEquals(bars(withReports(first, { ...PRIMARY, readOnly: true }, PRIMARY)), "read only, -");
});

Deno.test("after the loss of the primary a standby may be chosen, and a primary that was none before may not", () => {
  assertEquals(bars(withReports(lost, DOWN, STANDBY)), "-, -");
  assertEquals(bars(withReports(lost, DOWN, PRIMARY)), "-, stale");
  assertEquals(bars(withReports(lost, PRIMARY, STANDBY)), "-, follows");
  assertEquals(bars(withReports(lost, PRIMARY, PRIMARY)), "-, stale");
});

Deno.test("a primary that the operator drained, or whose program refuses it, keeps no standby from being chosen", () => {
  const whole = withReports(lost, PRIMARY, STANDBY);
  assertEquals(bars({ ...whole, drained: new Map([["a", ORDER]]) }), "-, -");
  const { last, ...health } = whole.health.get("a")!;
  const answered = (evidence: "denied" | "no_verdict"): State => {
    const answer = { ...health, last: { ...last!, passed: false, evidence } };
    return { ...whole, health: new Map([...whole.health, ["a", answer] as const]) };
  };
  assertEquals(bars(answered("denied")), "-, -");
  // The program could not be started: that says nothing about the primary.
  assertEquals(bars(answered("no_verdict")), "-, follows");
});

Deno.test("a standby that somebody else has promoted is the new primary when the old one is gone or a standby", () => {
  const seen = (as: "standby" | "rival") => ({ ...lost, standbys: new Map([["b", as]]) });
  assertEquals(bars(withReports(seen("standby"), DOWN, PRIMARY)), "-, -");
  assertEquals(bars(withReports(seen("standby"), STANDBY, PRIMARY)), "orphan, -");
  assertEquals(bars(withReports(seen("standby"), PRIMARY, PRIMARY)), "-, rival");
  assertEquals(bars(withReports(seen("rival"), DOWN, PRIMARY)), "-, rival");
  assertEquals(bars(withReports(seen("rival"), STANDBY, PRIMARY)), "orphan, -");
  assertEquals(newPrimary(withReports(seen("standby"), STANDBY, PRIMARY), "a"), "b");
});

Deno.test("the active server must be a primary, unless it is being promoted", () => {
  assertEquals(bars(withReports(active, STANDBY, PRIMARY)), "-, -");
  assertEquals(bars(withReports(active, STANDBY, STANDBY)), "-, demoted");
  assertEquals(bars(withReports(active, PRIMARY, PRIMARY)), "stale, -");
  const beside = { ...stateOf(serving({ is: "running", attempt: 1 })), lastChosen: "b" };
  assertEquals(bars(withReports(beside, DOWN, STANDBY)), "-, -");
  const move = stateOf(promoting(true, { is: "running", attempt: 1 }));
  assertEquals(bars(withReports({ ...move, lastChosen: "b" }, STANDBY, PRIMARY)), "-, -");
  assertEquals(bars(withReports({ ...move, lastChosen: "b" }, STANDBY, STANDBY)), "-, demoted");
});

Deno.test("a server that starts or ends may not be chosen, and one of unknown role may, but in no primary's place", () => {
  const state = (phase: ServerReport["phase"]) =>
    withReports(lost, DOWN, { role: "unknown", phase });
  assertEquals(bars(state("starting")), "-, starting");
  assertEquals(bars(state("shutting down")), "-, stopping");
  assertEquals(bars(state("running")), "-, -");
  assertEquals(
    bars(withReports(lost, PRIMARY, { role: "unknown", phase: "running" })),
    "-, follows",
  );
});

Deno.test("where nobody promotes a standby, it waits for somebody else", () => {
  assertEquals(bars(withReports(lost, DOWN, STANDBY), { promotedBy: "others" }), "-, waits");
  assertEquals(bars(withReports(lost, DOWN, STANDBY), { promotedBy: "trigger" }), "-, -");
});

Deno.test("lag only excludes, in bytes or in time, and an unknown lag excludes as well", () => {
  const lag = (facts: Partial<ServerReport>) => withReports(lost, DOWN, { ...STANDBY, ...facts });
  const bytes = { maxLag: { bytes: 1_024 } };
  const seconds = { maxLag: { seconds: 10 } };
  assertEquals(bars(lag({ lagBytes: 1_024, lagSeconds: 11 }), bytes), "-, -");
  assertEquals(bars(lag({ lagBytes: 1_025 }), bytes), "-, lag");
  assertEquals(bars(lag({ lagBytes: 1_025, lagSeconds: 10 }), seconds), "-, -");
  assertEquals(bars(lag({ lagSeconds: 10.5 }), seconds), "-, lag");
  assertEquals(bars(lag({}), seconds), "-, lag");
  assertEquals(bars(lag({})), "-, -");
  assertEquals(
    barOf(lag({ lagBytes: 20 * 1024 * 1024 }), policy(bytes), "b")?.reason,
    "it is 20MB behind (--max-lag 1KB)",
  );
});

Deno.test("the lag in bytes follows from the positions of primary and standby", () => {
  const state = withReports(active, { ...STANDBY, position: 60 }, { ...PRIMARY, position: 100 });
  assertEquals(lagOf(state, "a"), { bytes: 40, seconds: undefined });
  assertEquals(lagOf(state, "b"), { bytes: undefined, seconds: undefined });
  const even = withReports(active, { ...STANDBY, position: 100, lagSeconds: 3_600 }, {
    ...PRIMARY,
    position: 100,
  });
  assertEquals(lagOf(even, "a"), { bytes: 0, seconds: 0 });
});

Deno.test("an operator may say which primary is right, unless one serves", () => {
  const both = withReports(first, PRIMARY, PRIMARY);
  const rules = policy();
  assertEquals(mayOverrule(both, "b", barOf(both, rules, "b")!), true);
  const stale = withReports(active, PRIMARY, PRIMARY);
  assertEquals(mayOverrule(stale, "a", barOf(stale, rules, "a")!), false);
  const behind = withReports(lost, PRIMARY, STANDBY);
  assertEquals(mayOverrule(behind, "b", barOf(behind, rules, "b")!), false);
  assertEquals([takesWrites(both, "a"), takesWrites(behind, "b")], [true, false]);
});

Deno.test("an operator may not overrule while the one chosen last takes writes, or nobody has asked it since its promotion", () => {
  const stale = { kind: "stale", reason: "" } as const;
  // The promotion of b is unfinished, and the service waits for the end of a pause.
  const chosen = { ...lost, lastChosen: "b" };
  assertEquals(mayOverrule(withReports(chosen, PRIMARY, PRIMARY), "a", stale), false);
  assertEquals(mayOverrule(withReports(chosen, PRIMARY, STANDBY), "a", stale), true);
  const others = new Map(
    [1, 2].map((id) => [`p${id}`, { up: ["a"], down: ["b"], traffic: "none" as const }]),
  );
  const cluster = { ...CUT_OFF, role: "leads" as const, others };
  assertEquals(
    mayOverrule(withReports({ ...chosen, cluster }, PRIMARY, PRIMARY), "a", stale),
    true,
  );
  // It was promoted after its last answer.
  const asked = withReports(active, PRIMARY, STANDBY);
  const since = (at: number): State => ({
    ...asked,
    health: new Map(asked.health).set("b", { ...asked.health.get("b")!, passedAt: 100 }),
    lastServed: { to: "b", promotion: undefined, since: at },
  });
  assertEquals([99, 101].map((at) => mayOverrule(since(at), "a", stale)), [true, false]);
});

Deno.test("an operator may not overrule while the one that served last takes writes, whatever was begun after it", () => {
  const stale = { kind: "stale", reason: "" } as const;
  const names = ["db1:1", "db2:1", "db3:1"] as const;
  // The promotion of db3 is unfinished: no client was let through to it, and those of db2 wait.
  const remembered = {
    served: "db2:1",
    unfinished: { to: "db3:1", from: "db2:1" },
    isGivenUp: false,
  };
  const answers = (db2: ServerReport | undefined, more: Partial<State> = {}) =>
    three(names, [PRIMARY, db2, STANDBY], { lastChosen: "db2:1", remembered, ...more });
  const both = answers(PRIMARY);
  assertEquals(names.map((name) => barOf(both, policy(), name)?.kind), [
    "stale",
    "stale",
    undefined,
  ]);
  assertEquals(["db1:1", "db2:1"].map((to) => mayOverrule(both, to, stale)), [false, true]);
  assertEquals(mayOverrule(answers(DOWN), "db1:1", stale), true);
  assertEquals(mayOverrule(answers({ ...PRIMARY, readOnly: true }), "db1:1", stale), true);
  const lastServed = { to: "db2:1", promotion: undefined, since: 0 };
  const followed = { lastServed, remembered: { ...remembered, served: undefined } };
  assertEquals(mayOverrule(answers(PRIMARY, followed), "db1:1", stale), false);
});

/** Three servers at addresses, of which `chosen` was chosen last. */
function three(
  names: readonly [string, string, string],
  reports: readonly (ServerReport | undefined)[],
  more: Partial<State> = {},
): State {
  const upstreams = names.map((name, rank) => {
    const address = parseAddress(name);
    if (!("kind" in address)) throw new Error(`${name} is no address`);
    return { name, rank, address };
  });
  const health = new Map(names.map((name, at) => {
    const server = reports[at];
    const answer = { tookMs: 1, reason: "" };
    const last = server === undefined
      ? { ...answer, passed: false, evidence: "refused" as const }
      : { ...answer, passed: true, evidence: "passed" as const, server };
    return [name, { ...unknownHealth(0), last, server }] as const;
  }));
  return { ...lost, upstreams, health, lastChosen: names[0], ...more };
}

Deno.test("a standby that copies another server than the one chosen last may not be chosen", () => {
  const names = ["db1:1", "DB2:1", "db3:1"] as const;
  const kindOf = (state: State) => barOf(state, policy(), names[2])?.kind ?? "-";
  const copies = (source: string) => ({ ...STANDBY, source });
  const stale = three(names, [DOWN, PRIMARY, copies("db2:1")]);
  assertEquals(barOf(stale, policy(), names[2]), {
    kind: "strayed",
    reason: "it copies DB2:1, and db1:1 was chosen last",
  });
  assertEquals(mayOverrule(stale, names[2], { kind: "strayed", reason: "" }), true);
  // Whether that one still lives or not.
  assertEquals(kindOf(three(names, [DOWN, DOWN, copies("db2:1")])), "strayed");
  // The one chosen last, or one that is not in the list, or nobody knows.
  assertEquals(kindOf(three(names, [DOWN, DOWN, copies("db1:1")])), "-");
  assertEquals(kindOf(three(names, [DOWN, DOWN, copies("10.0.0.7:1")])), "-");
  assertEquals(kindOf(three(names, [DOWN, DOWN, STANDBY])), "-");
});

Deno.test("a standby may copy another standby, if that does not copy a stray one", () => {
  const names = ["db1:1", "db2:1", "db3:1"] as const;
  const kindOf = (state: State) => barOf(state, policy(), names[2])?.kind ?? "-";
  const copies = (source: string) => ({ ...STANDBY, source });
  assertEquals(kindOf(three(names, [DOWN, copies("db1:1"), copies("db2:1")])), "-");
  assertEquals(kindOf(three(names, [DOWN, copies("db3:1"), copies("db2:1")])), "-");
  const standbys = new Map([["db2:1", "standby" as const]]);
  assertEquals(kindOf(three(names, [DOWN, DOWN, copies("db2:1")], { standbys })), "-");
});

Deno.test("the loopback address of another machine is no server of the list", () => {
  const copies = (source: string) => ({ ...STANDBY, source });
  const kindOf = (names: readonly [string, string, string]) =>
    barOf(three(names, [DOWN, PRIMARY, copies("127.0.0.1:2")]), policy(), names[2])?.kind ?? "-";
  assertEquals(kindOf(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]), "strayed");
  assertEquals(kindOf(["127.0.0.1:1", "127.0.0.1:2", "10.0.0.3:3"]), "-");
});
