/** What is left of a move that was given up, of a lead that was lost, and of decisions that were missed. */
import { assertEquals } from "@std/assert";
import type { Vote } from "./cluster.ts";
import type { Policy } from "./state.ts";
import {
  ANN,
  decision,
  follower,
  FOLLOWS,
  leader,
  Machine,
  seesDown,
  SELF,
} from "./testing/cluster_machine.ts";
import { POLICY } from "./testing/policy.ts";
import { answeredAs, SILENT } from "./testing/results.ts";

Deno.test("traffic that stays after a move has failed gets an epoch of its own in the store", () => {
  const policy: Policy = { ...POLICY, fall: 1, rise: 1, triggers: "beside" };
  const failed = { how: "failed", reason: "exited with 1" } as const;
  const machine = leader(policy);
  machine.take({ type: "ordered", id: 1, order: { name: "switchover", to: "b" }, ...ANN });
  assertEquals([machine.state.epoch, machine.active], [2, "a"]);
  machine.take({ type: "triggersEnded", epoch: 2, outcome: failed });
  // The epoch 2 belongs to b.
  assertEquals(machine.done, ["settle", "conclude a 3"]);
  assertEquals([machine.state.epoch, machine.active], [3, "a"]);
});

Deno.test("triggers that were called off do not make a later promotion done whose triggers run", () => {
  const machine = leader({ ...POLICY, fall: 1, rise: 1, triggers: "beside" });
  machine.probe("a", false).probe("a", false).probe("b", true);
  assertEquals(machine.done, ["failover b", "open b 2"]);
  machine.take({ type: "triggersEnded", epoch: 1, outcome: { how: "cancelled" } });
  assertEquals(machine.done, []);
  machine.take({ type: "triggersEnded", epoch: 2, outcome: { how: "ran" } });
  assertEquals(machine.done, ["conclude b 2"]);
  machine.take({ type: "triggersEnded", epoch: 1, outcome: { how: "cancelled" } });
  assertEquals(machine.done, ["conclude b 3"]);
});

Deno.test("a proxy that has taken a promotion up and leads no more serves what another one has decided", () => {
  const machine = follower();
  const unfinished = decision({ epoch: 8, to: "a", from: "a", phase: "promoting", by: "p2" });
  machine.view({ role: "leads", decision: unfinished });
  assertEquals(machine.state.remembered?.unfinished?.to, "a");
  machine.probe("b", false).probe("a", false);
  const done = decision({ epoch: 9, to: "b", from: "a" });
  machine.view({ ...FOLLOWS, decision: done });
  assertEquals(machine.active, undefined);
  assertEquals(machine.probe("b", true).done, ["open b 9"]);
});

Deno.test("a promotion that this proxy had taken up is forgotten once another one has decided", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
  const unfinished = decision({ epoch: 8, to: "b", from: "a", phase: "promoting", by: "p2" });
  machine.view({ role: "leads", decision: unfinished });
  assertEquals(machine.state.remembered?.unfinished?.to, "b");
  // Another proxy finished it while this one could not reach b.
  machine.result("a", answeredAs("primary")).result("b", SILENT);
  const done = decision({ epoch: 9, to: "b", from: "a", by: "p3" });
  machine.view({ ...FOLLOWS, decision: done });
  assertEquals(machine.state.remembered, undefined);
  machine.view({ role: "leads", decision: done });
  machine.result("b", SILENT).result("a", answeredAs("primary")).result("b", SILENT);
  // The one before it is stale.
  assertEquals([machine.active, machine.state.epoch], [undefined, 9]);
});

Deno.test("a leader that alone reached no upstream returns to the one that was decided, whichever answers first", () => {
  const others = new Map([["p1", { ...seesDown(), up: ["a", "b"] }]]);
  const view = { role: "leads", decision: decision(), others } as const;
  const machine = follower().view(view);
  machine.probe("b", false).probe("a", false).probe("a", false);
  assertEquals(machine.active, undefined);
  assertEquals(machine.probe("b", true).done, []);
  assertEquals(machine.probe("a", true).done, ["open a 8", "conclude a 8"]);
  // With the others it is down, and left.
  const other = follower().view({ ...view, others: new Map([["p1", seesDown("a")]]) });
  other.probe("a", false);
  assertEquals(other.probe("b", true).done, ["failover b"]);
});

Deno.test("a leader also returns to an upstream that was drained while it was lost, since it is not chosen anew", () => {
  const others = new Map([["p1", { ...seesDown(), up: ["a", "b"] }]]);
  const orders = { paused: undefined, drained: new Map([["a", ANN]]), pinned: undefined };
  const machine = follower().view({ role: "leads", decision: decision(), others, orders });
  machine.probe("b", false).probe("a", false).probe("a", false);
  assertEquals(machine.probe("b", true).done, []);
  assertEquals(machine.probe("a", true).done, ["open a 8", "conclude a 8"]);
});

Deno.test("a promotion is given up when an earlier decision is stored late, whose upstream the others see up", () => {
  const failed = { how: "failed", reason: "exited with 1" } as const;
  const after = (triggers: "before" | "beside", seen: "up" | "down") => {
    const votes = (vote: Partial<Vote>) => new Map([["p1", { ...seesDown(), ...vote }]]);
    const view = { role: "leads", others: votes({ up: ["a", "b"] }) } as const;
    const machine = follower({ ...POLICY, fall: 1, rise: 1, triggers });
    machine.view({ ...view, decision: decision() });
    machine.take({ type: "ordered", id: 1, order: { name: "switchover", to: "b" }, ...ANN });
    const order = decision({ epoch: 8, to: "b", from: "a", phase: "promoting", by: SELF });
    machine.view({ ...view, decision: order });
    // Traffic stays at a, which is being stored as epoch 9, and then this proxy alone reaches nothing for a while.
    machine.take({ type: "triggersEnded", epoch: 8, outcome: failed });
    machine.probe("b", false).probe("a", false).probe("a", false).probe("a", false).probe(
      "b",
      true,
    );
    assertEquals(machine.done[0], "failover b");
    const others = votes({ up: ["b"], [seen]: ["a"] });
    machine.view({ ...view, decision: decision({ epoch: 9, by: SELF }), others });
    return machine;
  };
  for (const triggers of ["before", "beside"] as const) {
    const back = after(triggers, "up");
    assertEquals(back.done.includes("cancelTriggers"), true);
    assertEquals(back.probe("a", true).done, ["open a 11", "conclude a 11"]);
    const left = after(triggers, "down");
    assertEquals([left.active === "a", left.done.includes("cancelTriggers")], [false, false]);
  }
});

Deno.test("where checks know the role, a follower ends the sessions on every server but the one that was decided", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const drained = ({ effects }: Machine) =>
    effects.flatMap((each) => each.do === "drain" ? [each.order.upstream] : []);
  const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
  machine.result("a", answeredAs("primary")).result("b", answeredAs("standby"));
  // It has missed the decision for b that came before, and that b was left again.
  const left = decision({ epoch: 9, to: "a", from: "b", phase: "promoting" });
  assertEquals(drained(machine.view({ ...FOLLOWS, decision: left })), ["a", "b"]);
  assertEquals(drained(machine.view({ ...FOLLOWS, decision: { ...left, phase: "done" } })), []);
});

Deno.test("sessions end with the common verdict, also where the last vote is the own check", () => {
  const others = new Map([["p1", seesDown("a")], ["p2", seesDown()]]);
  const machine = follower().view({ ...FOLLOWS, decision: decision(), others });
  machine.probe("b", true);
  assertEquals(machine.probe("a", false).done, ["hold", "drain"]);
  // Alone, it ends none.
  const alone = new Map([["p1", { ...seesDown(), up: ["a"] }]]);
  const other = follower().view({ ...FOLLOWS, decision: decision(), others: alone });
  assertEquals(other.probe("a", false).done, []);
});

Deno.test("a leader replaces a primary that is down for the others, although it reaches that itself", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const down = { up: ["b"], down: ["a"], traffic: "fails" } as const;
  for (const others of [[down], [{ ...down, traffic: "none" }, down]] as const) {
    const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
    machine.result("a", answeredAs("primary")).result("b", answeredAs("standby", { source: "a" }));
    const votes = new Map(others.map((vote, index) => [`p${index + 2}`, vote]));
    machine.view({ role: "leads", decision: decision(), others: votes });
    assertEquals(machine.active, undefined);
    machine.result("a", answeredAs("primary")).result("b", answeredAs("standby", { source: "a" }));
    assertEquals(machine.done.includes("failover b"), true, machine.done.join());
  }
});

Deno.test("a promotion that was given up, and is stored late, does not hold the clients of the others", () => {
  const machine = leader();
  const { epoch } = machine.state;
  const late = decision({ epoch: epoch + 2, to: "b", from: "a", phase: "promoting", by: SELF });
  machine.view({ role: "leads", decision: decision({ epoch, by: SELF }) });
  assertEquals(machine.done, []);
  machine.view({ role: "leads", decision: late });
  assertEquals([machine.active, machine.done], ["a", [`conclude a ${epoch + 3}`]]);
});

Deno.test("an unfinished promotion whose server is the primary already is not given up when it is refused", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const refused = { how: "failed", reason: "too many connections", promotion: "refused" } as const;
  const unfinished = decision({ to: "b", phase: "promoting" });
  const after = (role: "primary" | "standby") => {
    const machine = new Machine({ ...POLICY, fall: 1, rise: 1, roles });
    const begun: string[] = [];
    const round = () => {
      for (const [name, is] of [["a", "primary"], ["b", role]] as const) {
        machine.result(name, answeredAs(is));
        begun.push(...machine.done.filter((each) => / [ab]$/.test(each)));
      }
    };
    machine.view({ role: "leads", decision: unfinished }).take({ type: "begun" });
    round();
    const { epoch } = machine.state;
    machine.take({ type: "triggersEnded", epoch, outcome: refused });
    round();
    machine.take({ type: "ticked" }, 60_000);
    round();
    return begun;
  };
  // Nobody knows who served before it, so that nothing else says which one of two primaries is stale.
  assertEquals(after("primary"), ["resume b", "resume b"]);
  assertEquals(after("standby"), ["resume b", "failover a"]);
});

Deno.test("traffic is not left at an upstream whose promotion was not stored, so that its port was not opened", () => {
  for (const triggers of ["beside", "before"] as const) {
    const machine = leader({ ...POLICY, fall: 1, rise: 1, triggers });
    machine.probe("a", false).probe("a", false).probe("b", true);
    const isOver = triggers === "before";
    if (isOver) machine.take({ type: "triggersEnded", epoch: 2, outcome: { how: "ran" } });
    machine.probe("a", true);
    machine.take({ type: "ordered", id: 1, order: { name: "switchover", to: "a" }, ...ANN });
    assertEquals([machine.state.phase.name, machine.state.epoch], ["promoting", 3]);
    const denied = { how: "denied", reason: "its lease is in doubt" } as const;
    machine.take({ type: "triggersEnded", epoch: 2, outcome: denied });
    const failed = { how: "failed", reason: "exited with 1" } as const;
    const opened = machine.done.filter((each) => each.startsWith("open"));
    machine.take({ type: "triggersEnded", epoch: 3, outcome: failed });
    assertEquals(machine.active === "b", false, triggers);
    assertEquals(opened, isOver ? [] : ["open a 3"]);
  }
});

Deno.test("a promotion whose triggers were cancelled for a move that failed is begun anew by its proxy, and not done", () => {
  const machine = leader({ ...POLICY, fall: 1, rise: 1, triggers: "beside" });
  machine.probe("a", false).probe("a", false).probe("b", true).probe("a", true);
  machine.take({ type: "ordered", id: 1, order: { name: "switchover", to: "a" }, ...ANN });
  const denied = { how: "denied", reason: "its lease may have ended" } as const;
  machine.take({ type: "triggersEnded", epoch: 3, outcome: denied });
  assertEquals(machine.active, "b");
  const view = {
    decision: decision({ epoch: 2, to: "b", from: "a", phase: "promoting", by: SELF }),
  };
  machine.view({ role: "cutOff", ...view }).view({ role: "leads", ...view });
  assertEquals([machine.active, machine.done.includes("conclude b 2")], [undefined, false]);
  machine.probe("a", true).probe("b", true);
  assertEquals(machine.done[0], "resume b");
});
