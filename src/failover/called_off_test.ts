import { assertEquals } from "@std/assert";
import type { Policy } from "./state.ts";
import { ANN, decision, leader, type Machine, SELF } from "./testing/cluster_machine.ts";
import { POLICY } from "./testing/policy.ts";

const CALLED_OFF = { how: "calledOff", reason: "its lease may have ended" } as const;
const CONTINUE: Policy = { ...POLICY, fall: 1, rise: 1, onTriggerFailure: "continue" };

/** A leader whose triggers for `b` run in epoch 2, as is stored. */
function promoting(policy: Policy): Machine {
  const machine = leader(policy).probe("a", false).probe("a", false).probe("b", true);
  assertEquals(machine.state.epoch, 2);
  const stored = decision({ epoch: 2, to: "b", from: "a", phase: "promoting", by: SELF });
  return machine.view({ role: "leads", decision: stored });
}

Deno.test("triggers that were called off are neither done nor failed: a leader runs them again in a new epoch", () => {
  for (const onTriggerFailure of ["continue", "retry", "next"] as const) {
    const machine = promoting({ ...CONTINUE, onTriggerFailure });
    machine.take({ type: "triggersEnded", epoch: 2, outcome: CALLED_OFF });
    assertEquals([machine.active, machine.done], [undefined, []]);
    machine.probe("a", true);
    assertEquals(machine.probe("b", true).done, ["resume b"]);
    assertEquals(machine.state.epoch, 3);
    machine.take({ type: "triggersEnded", epoch: 3, outcome: { how: "ran" } });
    assertEquals(machine.done, ["conclude b 3", "open b 3"]);
  }
});

Deno.test("triggers beside the traffic that were called off run again in a new epoch", () => {
  const machine = promoting({ ...CONTINUE, triggers: "beside" });
  assertEquals(machine.active, "b");
  machine.take({ type: "triggersEnded", epoch: 2, outcome: CALLED_OFF });
  machine.probe("a", false);
  assertEquals(machine.probe("b", true).done, ["resume b", "open b 3"]);
});

Deno.test("triggers beside the traffic that were called off during a pause run again after it", () => {
  const machine = promoting({ ...CONTINUE, triggers: "beside" });
  machine.take({ type: "ordered", id: 1, order: { name: "pause" }, ...ANN });
  machine.take({ type: "triggersEnded", epoch: 2, outcome: CALLED_OFF });
  assertEquals([machine.active, machine.done], ["b", []]);
  machine.take({ type: "ordered", id: 2, order: { name: "resume" }, ...ANN });
  machine.probe("a", false);
  assertEquals(machine.probe("b", true).done, ["resume b", "open b 3"]);
});

Deno.test("a switchover whose triggers were called off has failed for who ordered it, and is taken up", () => {
  const machine = leader({ ...CONTINUE, holdMs: 60_000 });
  machine.take({ type: "ordered", id: 1, order: { name: "switchover", to: "b" }, ...ANN });
  machine.take({ type: "quieted", epoch: 2 });
  machine.take({ type: "triggersEnded", epoch: 2, outcome: CALLED_OFF });
  assertEquals(machine.done, ["settle"]);
  machine.probe("a", true);
  assertEquals(machine.probe("b", true).done, ["resume b"]);
});

Deno.test("triggers that were called off after the lead was lost change nothing", () => {
  const machine = promoting(CONTINUE);
  machine.view({ role: "cutOff" });
  machine.take({ type: "triggersEnded", epoch: 2, outcome: CALLED_OFF });
  assertEquals([machine.active, machine.done], [undefined, []]);
});
