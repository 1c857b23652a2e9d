import { assert, assertEquals } from "@std/assert";
import { CUT_OFF, type Decision } from "./cluster.ts";
import {
  decision,
  follower,
  FOLLOWS,
  leader,
  Machine,
  seesDown,
  SELF,
} from "./testing/cluster_machine.ts";
import { a, b } from "./testing/states.ts";
import { memoryOf } from "./memory.ts";
import { initialState } from "./state.ts";
import { POLICY } from "./testing/policy.ts";
import { answeredAs, REFUSED, SILENT } from "./testing/results.ts";
import { phaseForChecks, trustedFor } from "./trust.ts";

Deno.test("a follower serves what was decided, under its epoch, whatever it would choose itself", () => {
  const machine = new Machine().view({ ...FOLLOWS, decision: decision({ to: "b" }) });
  machine.take({ type: "begun" });
  assertEquals(machine.done, ["open b 7"]);
  assertEquals(machine.probe("a", true).active, "b");
  assertEquals(machine.state.lastChosen, "b");
});

Deno.test("the highest revision of a decision is kept, also when the decision is removed", () => {
  const machine = new Machine().view({ ...FOLLOWS, decision: decision(), fence: 9 });
  machine.take({ type: "begun" });
  assertEquals(machine.view({ ...FOLLOWS, decision: undefined, fence: 0 }).state.fence, 9);
  assertEquals(machine.view({ ...FOLLOWS, decision: decision(), fence: 12 }).state.fence, 12);
});

Deno.test("a follower holds at promoting, says so, and opens at done", () => {
  const machine = follower();
  const next = decision({ epoch: 8, to: "b", from: "a", phase: "promoting" });
  machine.view({ ...FOLLOWS, decision: next });
  assertEquals(machine.done, ["hold", "acknowledge"]);
  assertEquals(machine.active, undefined);
  assertEquals([trustedFor(machine.state, "b"), phaseForChecks(machine.state)], ["b", "promoting"]);
  machine.view({ ...FOLLOWS, decision: next });
  assertEquals(machine.done, ["acknowledge"], "the same view again");
  machine.view({ ...FOLLOWS, decision: { ...next, phase: "done" } });
  assertEquals(machine.done, ["open b 8"]);
});

Deno.test("a follower cuts the sessions on the upstream that others leave, also where it sees it up", () => {
  const machine = follower({ ...POLICY, sessionsOnMove: "cut", fall: 1 });
  machine.view({ ...FOLLOWS, decision: decision({ epoch: 8, to: "b", phase: "promoting" }) });
  assertEquals(machine.done, ["hold", "drain", "acknowledge"]);
});

Deno.test("a follower holds its clients when the active upstream is down for all, and decides nothing", () => {
  const machine = follower().probe("a", false).probe("a", false);
  assertEquals([machine.active, machine.state.admission.is], [undefined, "holding"]);
  machine.probe("b", true).take({ type: "ticked" }, 1e6);
  assertEquals([machine.active, machine.state.admission.is], [undefined, "closed"]);
  machine.view({ ...FOLLOWS, decision: decision({ epoch: 8, to: "b", from: "a" }) });
  assertEquals([machine.active, machine.done], ["b", ["open b 8"]]);
});

Deno.test("a follower whose clients are let through in any case serves on until the leader has decided", () => {
  const machine = follower({ ...POLICY, fall: 1, rise: 1, failOpen: true });
  machine.probe("b", false).probe("a", false).probe("a", false);
  assertEquals([machine.active, machine.done], ["a", []]);
});

Deno.test("a follower that sees the decided upstream down lets clients in when it passes", () => {
  const machine = follower().probe("b", false);
  machine.view({ ...FOLLOWS, decision: decision({ epoch: 8, to: "b" }) });
  assertEquals([machine.active, machine.done], [undefined, ["hold"]]);
  assertEquals(machine.probe("b", true).done, ["open b 8"]);
});

Deno.test("a follower does not name whoever gave an order as the one who ended it", () => {
  const machine = follower();
  const decided = { ...FOLLOWS, decision: decision() };
  const none = { paused: undefined, drained: new Map(), pinned: undefined };
  const order = { by: "ann", reason: "works" };
  machine.view({
    ...decided,
    orders: { ...none, paused: order, drained: new Map([["b", order]]) },
  });
  machine.view({ ...decided, orders: none });
  const by = "an operator (named in the log of the proxy that leads)";
  assertEquals(
    machine.effects.flatMap((effect) => effect.do === "publish" ? [effect.event] : []),
    [
      { type: "service.resumed", by, reason: "", pausedMs: 0 },
      { type: "upstream.undrained", upstream: "b", by, reason: "" },
    ],
  );
});

Deno.test("a follower serves nobody while the decided upstream is not on its list", () => {
  const machine = follower();
  machine.view({ ...FOLLOWS, decision: decision({ epoch: 8, to: "c" }) });
  assertEquals([machine.active, machine.done], [undefined, ["hold"]]);
});

Deno.test("whoever is cut off goes back to what it served by its memory, but not to what may not be stored", () => {
  const started = new Machine();
  started.state = initialState([a, b], 0, memoryOf(leader().state));
  started.view({ role: "cutOff" }).take({ type: "begun" }).probe("a", true).probe("b", true);
  const own = leader();
  const { epoch } = own.state;
  own.view({ role: "cutOff", decision: decision({ epoch, phase: "promoting", by: SELF }) });
  const after = [started, own].map((machine) => {
    assertEquals(machine.active, "a");
    machine.probe("b", false).probe("a", false).probe("a", false);
    assertEquals(machine.active, undefined);
    assertEquals(machine.probe("b", true).active, undefined);
    return machine.probe("a", true).active;
  });
  // Its promotion of a may be given up by another proxy.
  assertEquals(after, ["a", undefined]);
});

Deno.test("whoever is cut off serves the last decision and promotes nothing", () => {
  const machine = follower();
  machine.view({ decision: decision() });
  assertEquals([machine.active, machine.done], ["a", []]);
  machine.probe("a", false);
  assertEquals([machine.active, machine.done], ["a", []]);
});

Deno.test("a proxy that starts cut off serves what it remembers, and else refuses, or fails open", () => {
  const fresh = new Machine().view({}).take({ type: "begun" }).probe("a", true).probe("b", true);
  assertEquals([fresh.active, fresh.state.admission.is], [undefined, "closed"]);
  const http = new Machine({ ...POLICY, failOpen: true }).view({}).take({ type: "begun" });
  assertEquals(http.probe("a", true).done, ["open a 1"]);
  assertEquals(http.state.admission.is, "failOpen");
  const remembering = new Machine();
  remembering.state = {
    ...remembering.state,
    remembered: { served: "b", unfinished: undefined, isGivenUp: false },
  };
  remembering.view({}).take({ type: "begun" });
  assertEquals(remembering.probe("b", true).done, ["open b 1"]);
});

Deno.test("the leader concludes its promotion before it opens", () => {
  const machine = leader();
  assertEquals(machine.done, ["conclude a 1", "open a 1"]);
});

Deno.test("the leader promotes only with a majority, and says when it is alone", () => {
  const machine = leader();
  const others = new Map([["p2", { ...seesDown(), up: ["a"] }], ["p3", {
    ...seesDown(),
    up: ["a"],
  }]]);
  machine.view({ role: "leads", others }).probe("b", true).probe("a", false);
  assertEquals([machine.active, machine.done, machine.contests], ["a", [], 0]);
  machine.probe("a", false);
  assertEquals([machine.active, machine.done, machine.contests], ["a", [], 1]);
  machine.probe("a", false);
  assertEquals([machine.active, machine.contests], ["a", 0], "it is said once");
  machine.view({ role: "leads", others: new Map([...others, ["p3", seesDown("a")]]) });
  assertEquals(machine.done, ["hold", "drain"]);
  machine.probe("a", false).probe("b", true);
  assertEquals(machine.done, ["failover b"]);
});

Deno.test("the leader leaves an upstream that only the others see down, and does not choose it again", () => {
  const machine = leader();
  const others = new Map([["p2", seesDown("a")], ["p3", seesDown("a")]]);
  machine.view({ role: "leads", others });
  machine.probe("a", true).probe("b", true);
  assertEquals(machine.done, ["failover b"]);
});

Deno.test("whoever takes the lead repeats an unfinished promotion in an epoch of its own", () => {
  const machine = follower();
  const unfinished = decision({ epoch: 8, to: "b", from: "a", phase: "promoting" });
  machine.view({ ...FOLLOWS, decision: unfinished });
  machine.view({ role: "leads", leader: "p2", decision: unfinished });
  machine.probe("a", true).probe("b", true);
  assertEquals(machine.done, ["resume b"]);
  assertEquals(machine.state.epoch, 9);
});

Deno.test("whoever takes the lead goes on with the primary if the other one was not promoted", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
  const unfinished = decision({ epoch: 8, to: "b", from: "a", phase: "promoting" });
  machine.view({ ...FOLLOWS, decision: unfinished });
  const [primary, standby] = [answeredAs("primary"), answeredAs("standby")];
  machine.result("a", primary).result("b", standby);
  assertEquals([trustedFor(machine.state, "a"), phaseForChecks(machine.state)], ["b", "promoting"]);
  machine.view({ role: "leads", leader: "p2", decision: unfinished });
  machine.result("a", primary).result("b", standby);
  // It has given up that promotion, and all are checked again.
  assertEquals([trustedFor(machine.state, "a"), phaseForChecks(machine.state)], ["a", "selecting"]);
  machine.result("a", primary).result("b", standby);
  assertEquals(machine.done, ["drain", "failover a"]);
  assertEquals(machine.state.epoch, 9);
});

Deno.test("whoever takes the lead knows what was chosen while it could not follow", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const [primary, standby] = [answeredAs("primary"), answeredAs("standby")];
  const lead = (missed: Decision) => {
    const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
    machine.result("a", primary).result("b", standby);
    const begun = decision({ epoch: 8, to: "b", from: "a", phase: "promoting" });
    machine.view({ ...FOLLOWS, decision: begun }).view({ ...CUT_OFF, decision: begun });
    return machine.result("b", REFUSED).view({ role: "leads", decision: missed });
  };
  // Clients have written to b, which is gone: what they wrote is not on a.
  const machine = lead(decision({ epoch: 9, to: "b", from: "a" }));
  machine.result("a", primary).result("b", REFUSED);
  assertEquals(machine.state.phase.name, "waiting");
  assertEquals([trustedFor(machine.state, "a"), trustedFor(machine.state, "b")], ["b", "b"]);
  // And after b another one was about to be chosen, which is gone as well.
  const next = lead(decision({ epoch: 10, to: "a", from: "b", phase: "promoting" }));
  next.result("a", REFUSED).result("b", REFUSED).result("a", REFUSED).result("b", REFUSED);
  assertEquals([trustedFor(next.state, "a"), trustedFor(next.state, "b")], ["b", "b"]);
  assertEquals(next.state.lastServed?.to, "b");
});

Deno.test("where checks know the role, a follower ends the sessions on a primary that is replaced, which silence had spared", () => {
  const roles = { maxLag: undefined, promotedBy: "us" } as const;
  const next = decision({ epoch: 8, to: "b", from: "a", phase: "promoting" });
  const hard = ({ effects }: Machine) =>
    effects.flatMap((each) =>
      each.do === "drain" && each.order.upstream === "a" ? [!each.order.revocable] : []
    );
  for (const seesItDown of [true, false]) {
    const machine = follower({ ...POLICY, fall: 1, rise: 1, roles });
    machine.result("a", answeredAs("primary")).result("b", answeredAs("standby"));
    if (seesItDown) assertEquals(hard(machine.result("a", SILENT)), [false]);
    assertEquals(hard(machine.view({ ...FOLLOWS, decision: next })), [true]);
  }
});

Deno.test("triggers beside the traffic that were called off before they began, and whose promotion was stored after that, are taken up", () => {
  const machine = leader({ ...POLICY, fall: 1, rise: 1, triggers: "beside" });
  machine.probe("a", false).probe("b", false).probe("a", false).probe("b", false).probe("a", true);
  assertEquals(machine.done, ["failover a", "open a 2"]);
  machine.view({ role: "cutOff" }).view({ role: "leads", decision: decision({ epoch: 1 }) });
  machine.take({ type: "triggersEnded", epoch: 2, outcome: { how: "cancelled" } });
  machine.probe("a", true).probe("b", false);
  assertEquals([machine.state.epoch, machine.active], [3, "a"]);
});

Deno.test("whoever takes the lead and finds the active upstream down replaces it", () => {
  const machine = follower().probe("a", false);
  assertEquals([machine.active, machine.done], [undefined, ["hold", "drain"]]);
  machine.view({ role: "leads", decision: decision() });
  assertEquals(machine.probe("b", true).done, ["failover b"]);
  const other = follower().view({ ...FOLLOWS, decision: decision(), others: new Map() });
  other.view({ role: "leads", decision: decision(), others: new Map([["p1", seesDown("a")]]) });
  assertEquals(other.probe("a", false).done, ["hold", "drain"]);
});

Deno.test("a leader that steps down ends its triggers and does not return by itself", () => {
  const machine = leader().probe("a", false).probe("a", false).probe("b", true);
  assertEquals(machine.done, ["failover b"]);
  machine.view({ decision: decision({ epoch: 2, to: "b", from: "a", phase: "promoting" }) });
  assert(machine.done.includes("cancelTriggers"));
  machine.take({ type: "triggersEnded", epoch: 2, outcome: { how: "ran" } });
  machine.probe("a", true).probe("b", true);
  assertEquals([machine.active, machine.done.includes("open a 3")], [undefined, false]);
});

Deno.test("a promotion that could not be stored is given up without a trigger", () => {
  const machine = leader().probe("a", false).probe("a", false).probe("b", true);
  const { epoch } = machine.state;
  machine.take({ type: "triggersEnded", epoch, outcome: { how: "denied", reason: "p2 leads" } });
  assertEquals([machine.state.phase.name, machine.active], ["selecting", undefined]);
});

Deno.test("orders that stand for all become those of a follower, and end with them", () => {
  const machine = follower();
  const ann = { by: "ann", reason: "works" };
  const orders = { paused: ann, drained: new Map([["b", ann]]), pinned: "a" };
  machine.view({ ...FOLLOWS, decision: decision(), orders });
  assertEquals(machine.state.paused, { ...ann, since: 0 });
  assertEquals([...machine.state.drained.keys(), machine.state.pinned], ["b", "a"]);
  const none = { paused: undefined, drained: new Map(), pinned: undefined };
  machine.view({ ...FOLLOWS, decision: decision(), orders: none });
  assertEquals([machine.state.paused, machine.state.drained.size], [undefined, 0]);
});

Deno.test("a proxy that was cut off and then leads keeps the orders that others got meanwhile", () => {
  const machine = follower();
  machine.view({ role: "cutOff" });
  const ann = { by: "ann", reason: "works" };
  const orders = { paused: ann, drained: new Map([["b", ann]]), pinned: "a" };
  machine.view({ role: "leads", leader: "p2", decision: decision(), orders });
  const { paused, drained, pinned } = machine.state;
  assertEquals([paused?.by, [...drained.keys()], pinned], ["ann", ["b"], "a"]);
  // What it is ordered as the leader counts more than what is stored.
  machine.take({ type: "ordered", id: 1, order: { name: "resume" }, ...ann });
  machine.view({ role: "leads", leader: "p2", decision: decision(), orders, others: new Map() });
  assertEquals(machine.state.paused, undefined);
});

Deno.test("the leader stores the decision again that somebody has removed", () => {
  const machine = follower();
  machine.view({ role: "leads", leader: "p2", decision: decision() });
  assertEquals(machine.done, []);
  assertEquals(machine.view({ role: "leads", leader: "p2" }).done, ["conclude a 7"]);
  assertEquals(machine.view({ role: "leads", leader: "p2", traffic: "flows" }).done, []);
});

Deno.test("a proxy that follows says that it alone sees the active upstream down, and serves on", () => {
  const machine = follower();
  const others = new Map([["p1", { ...seesDown(), up: ["a", "b"] }]]);
  machine.view({ ...FOLLOWS, decision: decision(), others });
  assertEquals([machine.probe("a", false).contests, machine.probe("a", false).contests], [0, 1]);
  assertEquals([machine.probe("a", false).contests, machine.active], [0, "a"]);
  machine.probe("a", true).probe("a", false);
  assertEquals(machine.probe("a", false).contests, 1, "it has come and gone");
});

Deno.test("a proxy that reaches no upstream holds and refuses its clients, until one answers", () => {
  for (const role of ["follows", "cutOff"] as const) {
    const machine = follower({ ...POLICY, fall: 1, rise: 1, holdMs: 0 });
    const others = new Map([["p1", { ...seesDown(), up: ["a", "b"] }]]);
    const view = { role, leader: "p1", decision: decision(), others };
    machine.view(view).probe("b", false).probe("a", false);
    assertEquals(machine.active, "a");
    machine.probe("a", false);
    assertEquals([machine.active, machine.done], [undefined, ["refuse"]]);
    machine.probe("a", false).probe("b", false).view({ ...view, traffic: "fails" });
    assertEquals([machine.active, machine.done], [undefined, []]);
    machine.probe("a", true);
    assertEquals([machine.active, machine.done], ["a", ["open a 8"]], role);
  }
});

Deno.test("whoever takes the lead during a pause repeats an unfinished promotion when it ends", () => {
  const ann = { by: "ann", reason: "works" };
  const orders = { paused: ann, drained: new Map(), pinned: undefined };
  const unfinished = decision({ epoch: 8, to: "b", from: "a", phase: "promoting" });
  const machine = follower({ ...POLICY, fall: 1, rise: 1, triggers: "beside" });
  machine.view({ ...FOLLOWS, decision: unfinished, orders });
  assertEquals(machine.active, "b");
  machine.view({ role: "leads", leader: "p2", decision: unfinished, orders });
  machine.probe("a", true).probe("b", true);
  assertEquals(machine.done, []);
  machine.take({ type: "ordered", id: 1, order: { name: "resume" }, ...ann });
  const all = [machine.done, machine.probe("b", true).done].flat();
  assert(all.some((each) => each === "resume b"), all.join());
});

Deno.test("a proxy at the start takes the orders for all, also before there is a decision", () => {
  const ann = { by: "ann", reason: "works" };
  const orders = { paused: ann, drained: new Map([["b", ann]]), pinned: undefined };
  const machine = new Machine().view({ role: "leads", leader: "p1", orders });
  machine.take({ type: "begun" }).probe("a", true).probe("b", true);
  assertEquals([machine.state.paused?.by, machine.state.drained.size], ["ann", 1]);
  assertEquals([machine.active, machine.done], [undefined, []]);
});

Deno.test("a proxy that serves the server of a promotion by its memory holds for it, also under an epoch that is as new", () => {
  const machine = follower();
  const unfinished = decision({ epoch: 7, to: "a", from: "b", phase: "promoting" });
  assertEquals([machine.active, machine.state.epoch], ["a", 7]);
  assertEquals(machine.view({ ...FOLLOWS, decision: unfinished }).done, ["hold", "acknowledge"]);
});
