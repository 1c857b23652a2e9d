import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { memoryOf } from "../failover/memory.ts";
import { CUT_OFF } from "../failover/cluster.ts";
import { initialState } from "../failover/state.ts";
import type { Input } from "../failover/steps.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { replay } from "../incidents/replay.ts";
import type { IncidentRecord } from "../incidents/record.ts";
import type { Recorded } from "../incidents/recording.ts";
import { Live } from "../incidents/testing/live.ts";
import { REFUSED } from "../failover/testing/results.ts";
import { readArguments } from "./arguments.ts";
import { findings, replayCommand } from "./replay.ts";

async function incident(): Promise<{ record: IncidentRecord; recorded: Recorded }> {
  await using live = new Live();
  live.triggers = { tookMs: 700, outcome: { how: "ran" } };
  await live.clock.advance(60_000);
  live.answers.set("a", REFUSED);
  await live.clock.advance(30_000);
  return { record: live.incidents.list().at(-1)!, recorded: await live.recorded() };
}

/** Runs the command on one incident. */
async function run(args: readonly string[], recorded?: Recorded) {
  const { record, recorded: own } = await incident();
  const given = readArguments("replay", args);
  if (typeof given === "string") throw new Error(given);
  const [out, err]: string[][] = [[], []];
  const code = await replayCommand(given, {
    list: () => Promise.resolve([record]),
    find: (id) => Promise.resolve(id === "x" ? record : `there is no incident ${id}`),
    inputs: () => Promise.resolve(recorded ?? own),
  }, {
    out: (text) => out!.push(text),
    err: (text) => err!.push(text),
    isTerminal: false,
    stop: new AbortController().signal,
  });
  return { code, out: out!.join("\n"), err: err!.join("\n") };
}

Deno.test("decisions are printed with the time since the previous one", async () => {
  const { code, out } = await run(["x"]);
  assertEquals(code, 0);
  assertMatch(out, /\d+ inputs from .*Z to .*Z\n\nwhat was decided:\n/);
  assertMatch(out, /Z {2}\+1.002s {3}upstream a is down: connection refused/);
  assertMatch(out, /Z {2}\+1.703s {3}failover from a to b done/);
});

Deno.test("decisions with other options are printed with their difference", async () => {
  const { out } = await run(["x", "--with", "fail_threshold=2", "--with=hold=1s"]);
  assertStringIncludes(out, "\nwhat would have been decided with fail_threshold=2, hold=1s:\n");
  assertStringIncludes(
    out,
    "\nb would have served as well, 500ms earlier; new clients would have been shut out for as long\n",
  );
  const json = JSON.parse((await run(["x", "--with", "fail_threshold=2", "--json"])).out);
  assertEquals([json.is_same, json.replayed, json.with], [true, null, ["fail_threshold=2"]]);
  assertEquals(json.would_have_decided.length > 3, true);
});

Deno.test("a version that decides differently reports that", async () => {
  const { recorded } = await incident();
  const { out } = await run(["x"], { ...recorded, decided: recorded.decided.slice(1) });
  assertStringIncludes(out, "\nTHIS VERSION DECIDES OTHERWISE than 1.2.3 did:\n");
});

Deno.test("an unknown incident is 1, a wrong option 2, a line each", async () => {
  const unknown = await run(["y"]);
  assertEquals([unknown.code, unknown.err], [1, "failover: there is no incident y"]);
  const wrong = await run(["x", "--with", "fail_threshold=lots"]);
  assertEquals(wrong.code, 2);
  assertMatch(wrong.err, /^failover: Cannot use "lots" as fail_threshold: expected [^\n]*$/);
});

Deno.test("an upstream that served on after a restart is compared with the one that would have", () => {
  const upstreams = ["a", "b"].map((name, rank) => ({
    name,
    rank,
    address: { kind: "tcp" as const, host: name, port: 1 },
  }));
  const memory = { ...memoryOf(initialState(upstreams, 0)), served: "b", lastChosen: "b" };
  const result = (upstream: string, passed: boolean): Input => ({
    type: "probed",
    upstream,
    result: { passed, tookMs: 1, reason: "", evidence: passed ? "passed" : "refused" },
    stage: 0,
  });
  const inputs = {
    start: initialState(upstreams, 0, memory),
    entries: [
      { at: 10, input: { type: "begun" } as const },
      { at: 12, input: result("a", true) },
      { at: 13, input: result("b", false) },
      { at: 2_013, input: result("b", true) },
    ],
    ...{ policy: { ...POLICY, fall: 3 }, pace: { steadyMs: 2_000, doubtMs: 500 } },
    ...{ wallOffset: 0, isCutOff: false, decided: [] },
  };
  const recorded = { ...inputs, decided: replay(inputs) };
  const record = { id: "x", began: new Date(10).toISOString() } as IncidentRecord;
  const policy = { ...recorded.policy, fall: 1 };
  const { difference } = findings(record, recorded, ["fail_threshold=1"], policy);
  assertMatch(difference!, /^a would have served instead of b, 2s earlier; /);
});

Deno.test("what several proxies would have decided with other options is not made up", async () => {
  const { recorded } = await incident();
  const start = { ...recorded.start, cluster: { ...CUT_OFF, role: "follows" as const } };
  const shared = { ...recorded, start };
  const { code, out, err } = await run(["x", "--with", "fail_threshold=2"], shared);
  assertEquals([code, out], [1, ""]);
  assertMatch(err, /^failover: several proxies decided [^\n]*$/);
  assertEquals((await run(["x"], shared)).code, 0);
});
