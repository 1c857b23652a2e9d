import { assertEquals } from "@std/assert";
import type { Decision } from "./cluster.ts";
import { ANN, decision, follower, FOLLOWS, Machine, SELF } from "./testing/cluster_machine.ts";
import { POLICY } from "./testing/policy.ts";
import { answeredAs, SILENT } from "./testing/results.ts";

/** A leader in epoch 2, whose triggers for `b` have ended, and which waits until that is stored. */
function ended(): { machine: Machine; unfinished: Decision } {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const machine = new Machine({ ...POLICY, fall: 1, rise: 1, roles }).view({ role: "leads" });
  machine.take({ type: "begun" });
  machine.result("a", answeredAs("primary")).result("b", answeredAs("standby"));
  machine.take({ type: "triggersEnded", epoch: 1, outcome: { how: "ran" } });
  machine.take({ type: "ordered", id: 1, order: { name: "switchover", to: "b" }, ...ANN });
  machine.take({ type: "quieted", epoch: 2 });
  const unfinished = decision({ epoch: 2, to: "b", from: "a", phase: "promoting", by: SELF });
  machine.view({ role: "leads", decision: unfinished });
  machine.take({ type: "triggersEnded", epoch: 2, outcome: { how: "ran" } });
  machine.result("b", answeredAs("primary"));
  assertEquals([machine.active, machine.state.epoch], ["b", 2]);
  return { machine, unfinished };
}

Deno.test("a promotion that has ended is not taken up by its own proxy while that is being stored", () => {
  const { machine, unfinished } = ended();
  machine.view({ role: "cutOff", decision: unfinished });
  // The first attempt to store its end may have failed.
  assertEquals(machine.view({ role: "leads", decision: unfinished }).done, ["conclude b 2"]);
  assertEquals([machine.active, machine.state.remembered], ["b", undefined]);
  machine.take({ type: "ordered", id: 2, order: { name: "pause" }, ...ANN });
  machine.take({ type: "ordered", id: 3, order: { name: "resume" }, ...ANN });
  assertEquals([machine.active, machine.state.remembered], ["b", undefined]);
});

Deno.test("the upstream of a promotion that has ended is the one chosen last, also if it is lost without etcd", () => {
  const { machine, unfinished } = ended();
  machine.view({ role: "cutOff", decision: unfinished });
  machine.result("a", SILENT).result("b", SILENT).result("b", SILENT);
  assertEquals(machine.active, undefined);
  machine.view({ role: "leads", decision: unfinished });
  assertEquals(machine.state.remembered?.unfinished, { to: "b", from: "b" });
  machine.result("b", SILENT).result("a", answeredAs("primary")).result("b", SILENT);
  // The old primary is stale.
  assertEquals([machine.state.phase.name, machine.state.lastChosen], ["waiting", "b"]);
});

Deno.test("a server that was promoted has precedence if the store refuses that it is done, whatever its rank", () => {
  const machine = new Machine().view({ role: "leads" }).take({ type: "begun" });
  machine.probe("a", true).probe("b", true);
  machine.take({ type: "triggersEnded", epoch: 1, outcome: { how: "ran" } });
  machine.view({ role: "leads", decision: decision({ epoch: 1, by: SELF }) });
  machine.probe("a", false).probe("b", true).probe("a", false);
  const unfinished = decision({ epoch: 2, to: "b", from: "a", phase: "promoting", by: SELF });
  machine.view({ role: "leads", decision: unfinished });
  machine.take({ type: "triggersEnded", epoch: 2, outcome: { how: "ran" } });
  assertEquals(machine.done, ["conclude b 2", "open b 2"]);
  // The old primary is back, with none of the writes.
  machine.probe("b", true).probe("a", true);
  const denied = { how: "denied", reason: "etcd does not store it: no space" } as const;
  machine.take({ type: "triggersEnded", epoch: 2, outcome: denied });
  assertEquals(machine.probe("a", true).done, []);
  assertEquals(machine.probe("b", true).done, ["resume b"]);
  machine.take({ type: "triggersEnded", epoch: 3, outcome: denied });
  assertEquals(machine.probe("a", true).probe("b", true).done, ["resume b"]);
});

Deno.test("a promotion that was taken up and is done all the same was stored late, and counts", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
  const unfinished = decision({ epoch: 8, to: "b", from: "a", phase: "promoting", by: "p2" });
  machine.view({ role: "leads", decision: unfinished });
  assertEquals(machine.state.remembered?.unfinished?.to, "b");
  machine.view({ role: "leads", decision: { ...unfinished, phase: "done" } });
  machine.result("b", SILENT).result("a", answeredAs("primary")).result("b", SILENT);
  assertEquals([machine.state.phase.name, machine.state.lastChosen], ["waiting", "b"]);
});

Deno.test("a server that was promoted and left again while this proxy was cut off is stale, also if the one before it is chosen again", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
  machine.result("a", answeredAs("primary")).result("b", answeredAs("standby"));
  const unfinished = decision({ epoch: 8, to: "b", from: "a", phase: "promoting" });
  machine.view({ ...FOLLOWS, decision: unfinished });
  machine.result("a", SILENT).result("b", answeredAs("primary"));
  machine.view({ role: "cutOff", decision: unfinished });
  const again = decision({ epoch: 9, to: "a", from: "b" });
  machine.view({ ...FOLLOWS, decision: again }).view({ role: "leads", decision: again });
  machine.result("a", SILENT).result("b", answeredAs("primary")).result("a", SILENT);
  assertEquals([machine.active, machine.state.phase.name], [undefined, "waiting"]);
  // A new standby of that server may be chosen.
  machine.result("b", answeredAs("standby")).result("b", answeredAs("standby"));
  machine.result("a", SILENT).result("b", answeredAs("standby"));
  assertEquals(machine.state.phase.name, "promoting");
});

Deno.test("what a restarted proxy remembers of standbys does not count if others have decided since", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const restarted = (epoch: number) => {
    const machine = new Machine({ ...POLICY, fall: 1, rise: 1, roles });
    const standbys = new Map([["b", "standby" as const]]);
    machine.state = { ...machine.state, epoch: 7, lastChosen: "a", standbys };
    return machine.view({ ...FOLLOWS, decision: decision({ epoch, to: "a" }) }).state.standbys;
  };
  assertEquals(restarted(7).get("b"), "standby");
  assertEquals(restarted(9).size, 0);
});
