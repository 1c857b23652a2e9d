import { assertEquals, assertStringIncludes } from "@std/assert";
import { type DrillReport, drillText, isGood } from "./drill.ts";

const STANDBY = { passed: true, reason: "connected", took_ms: 3.2, verdict_is_down: false };

function report(more: Partial<DrillReport> = {}): DrillReport {
  return {
    ...{ service: "orders", mode: "tcp", active: "a:1", chosen: "b:1", choice_ms: 3.2 },
    ...{ why: "it is the first in order, and passes", paused: false, cut_off: false, ready: true },
    standbys: [{ ...STANDBY, name: "b:1", excluded: null }],
    triggers: { count: 1, ran: false },
    faults: [{
      ...{ name: "refused", usual_ms: 2_104, worst_ms: null },
      terms: [{ what: "the choice", usual_ms: 4, worst_ms: null }],
    }, { name: "frozen", usual_ms: null, worst_ms: null, terms: [] }],
    ...more,
  };
}

Deno.test("the report of a drill is a few lines", () => {
  assertEquals(drillText(report()).split("\n"), [
    "orders (tcp): a:1 serves",
    "  b:1  passed: connected (3.2ms)",
    "  b:1 would take over: it is the first in order, and passes (answers took 3.2ms)",
    "  1 trigger: not run (--run-triggers)",
    "  until clients are served again, with what was measured now (usually, at worst):",
    "    refused: usually 2.1s, at worst without limit",
    "           4ms without limit  the choice",
  ]);
});

Deno.test("a failed drill is printed in capitals, and has exit code 1", () => {
  const failed = { ...STANDBY, name: "b:1", passed: false, reason: "refused", excluded: "drained" };
  const nobody = report({ chosen: null, why: "no other passes", standbys: [failed] });
  assertStringIncludes(drillText(nobody), "  b:1  FAILED: refused (3.2ms) [drained]");
  assertStringIncludes(drillText(nobody), "  NOBODY would take over: no other passes");
  assertStringIncludes(drillText(nobody), "state and metrics still say ready");
  assertStringIncludes(drillText(report({ ready: false })), "state and metrics say NOT READY");
  assertStringIncludes(drillText(report({ paused: true })), "PAUSED: nothing moves");
  const cutOff = report({ cut_off: true, ready: false });
  assertStringIncludes(drillText(cutOff), "WITHOUT ETCD: nothing moves before it answers");
  assertEquals(drillText(cutOff).includes("NOT READY"), false, "the reason is another one");
  const programs = [{ program: "/p", reason: "exited with 1", took_ms: 20 }];
  const triggers = { count: 1, ran: true, outcome: "failed", reason: "/p exited with 1", programs };
  assertStringIncludes(
    drillText(report({ triggers })),
    "  1 trigger: FAILED: /p exited with 1\n    /p: exited with 1 in 20ms",
  );
  const good = { count: 1, ran: true, outcome: "ran", took_ms: 20, programs: [] };
  assertStringIncludes(drillText(report({ triggers: good })), "  1 trigger: succeeded in 20ms");
  assertEquals(
    [
      ...[report(), nobody, report({ paused: true }), cutOff, report({ triggers })],
      report({ triggers: good }),
    ].map(isGood),
    [true, false, false, false, false, true],
  );
});
