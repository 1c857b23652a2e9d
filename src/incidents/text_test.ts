import { assertEquals, assertStringIncludes } from "@std/assert";
import type { IncidentRecord } from "./record.ts";
import { incidentLines, incidentText, sentenceOfIncident } from "./text.ts";

const BEGAN = "2026-11-21T03:00:00.000Z";

function record(more: Partial<IncidentRecord> = {}): IncidentRecord {
  return {
    ...{ id: "20261121-030000.000-orders", service: "orders", kind: "failover", outcome: "served" },
    ...{ epoch: 2, promotions: ["x-2"], from: "a", to: "b", reason: "a is down: reset", by: null },
    ...{ began: BEGAN, interrupted_ms: 1_250, rounds_failed: 0, triggers: [], evidence: [] },
    t: { first_failure: BEGAN, down: "2026-11-21T03:00:01.000Z", open: "2026-11-21T03:00:02.250Z" },
    failed_promotions: [],
    sessions: { cut: 3, kept: 1 },
    clients: { most_held: 5, hold_p50_ms: 50, hold_p99_ms: 2_500, released: 4, lost: 1 },
    version: "1.2.3",
    config_hash: "c0ffee",
    ...more,
  };
}

Deno.test("an incident is one sentence", () => {
  const sentence = (more: Partial<IncidentRecord>) => sentenceOfIncident(record(more));
  assertEquals(
    sentence({}),
    "[orders] failover from a to b (epoch 2), no upstream for 1.25s: a is down: reset",
  );
  assertStringIncludes(
    sentence({ outcome: null, to: null, epoch: null }),
    "UNDER WAY: outage of a",
  );
  assertStringIncludes(
    sentence({ kind: "outage", from: "a", to: "a" }),
    "outage of a, then a again",
  );
  const failed_promotions = [{ to: "b", epoch: 2, reason: "exit code 1" }];
  assertStringIncludes(
    sentence({ kind: "switchover", outcome: "returned", to: "a", failed_promotions }),
    "switchover to b failed, a served on",
  );
  assertStringIncludes(sentence({ outcome: "recovered", to: null }), "came back by itself");
  assertStringIncludes(sentence({ outcome: "died", to: null }), "until a fault of the proxy");
});

Deno.test("the full text of an incident shows the time between its moments", () => {
  const evidence = [{ upstream: "a", time: BEGAN, passed: false, reason: "reset", took_ms: 2 }];
  const triggers = [{ program: "/p", epoch: 2, reason: "exited with 1", took_ms: 10 }];
  const text = incidentText(record({ evidence, triggers, by: "ann" }));
  assertStringIncludes(text, "  2026-11-21T03:00:02.250Z  +2.25s    clients are let in\n");
  assertStringIncludes(text, `    ${BEGAN}  a  failed: reset (2ms)`);
  assertStringIncludes(text, "    /p (epoch 2) exited with 1 in 10ms");
  assertStringIncludes(text, "  ordered by ann");
  assertStringIncludes(
    text,
    "sessions: 3 cut, 1 kept; clients: 5 waited at one time, 4 waited and were let in, " +
      "half waited 50ms at most, 99 % 2.5s, 1 lost",
  );
});

Deno.test("a change says what differs, and who ordered it", () => {
  const reload = record({
    ...{ kind: "reload", service: "", outcome: "done", epoch: null, by: "ann" },
    ...{ reason: "hold 1s → 2s", changes: ["hold 1s → 2s"] },
  });
  assertEquals(sentenceOfIncident(reload), "reload: hold 1s → 2s");
  assertEquals(incidentText(reload).split("\n"), [
    ...["20261121-030000.000-orders  reload: hold 1s → 2s", "  ordered by ann"],
    ...[`  at ${BEGAN}, version 1.2.3`, "", "  what differs:", "    hold 1s → 2s"],
  ]);
});

Deno.test("a list has one line for each incident, or says that there is none", () => {
  assertEquals(incidentLines([record(), record()]).split("\n").length, 2);
  assertEquals(incidentLines([]), "no incident is remembered");
});

Deno.test("a list says where the version or the options of a service are others than before", () => {
  const other = { version: "1.3.0", config_hash: "decaf" };
  const lines = incidentLines([
    record(),
    record({ service: "web", ...other }),
    record({ kind: "reload", service: "", config_hash: "" }),
    record({ kind: "start", ...other }),
    record(other),
    record({ ...other, config_hash: "c0ffee" }),
  ]).split("\n").map((line) => /\(since .*/.exec(line)?.[0]);
  assertEquals(lines, [
    ...[undefined, undefined, undefined],
    "(since the one before: version 1.2.3 → 1.3.0, other options)",
    undefined,
    "(since the one before: other options)",
  ]);
});
