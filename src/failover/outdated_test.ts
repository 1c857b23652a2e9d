/** A proxy that is cut off from the coordinator, and learns by a standby that another server was decided since. */
import { assertEquals } from "@std/assert";
import type { Policy } from "./state.ts";
import { memoryOf } from "./memory.ts";
import { initialState } from "./state.ts";
import { decision, follower, FOLLOWS, leader, Machine, SELF } from "./testing/cluster_machine.ts";
import { POLICY } from "./testing/policy.ts";
import { answeredAs } from "./testing/results.ts";
import { a, b } from "./testing/states.ts";

const ROLES: Policy = {
  ...{ ...POLICY, fall: 1, rise: 1 },
  roles: { maxLag: undefined, promotedBy: "us" },
};

/** It serves `a`, and reaches the coordinator no more. */
function cutOff(policy = ROLES): Machine {
  const machine = follower(policy).result("a", answeredAs("primary"));
  return machine.view({ role: "cutOff", decision: decision() });
}

Deno.test("a proxy that is cut off lets nobody in to a server that was a standby since it was decided", () => {
  const machine = cutOff().result("b", answeredAs("primary"));
  assertEquals(machine.active, "a");
  machine.result("a", answeredAs("standby"));
  assertEquals([machine.active, machine.done], [undefined, ["hold", "drain"]]);
  // It is being promoted again, which may be given up.
  machine.result("b", answeredAs("primary")).result("a", answeredAs("primary"));
  assertEquals(machine.active, undefined);
  const promoting = decision({ epoch: 9, to: "a", from: "b", phase: "promoting" });
  machine.view({ ...FOLLOWS, decision: promoting });
  assertEquals(machine.active, undefined);
  machine.view({ ...FOLLOWS, decision: decision({ epoch: 9, to: "a", from: "b" }) });
  machine.result("a", answeredAs("primary"));
  assertEquals([machine.active, machine.state.epoch], ["a", 9]);
});

Deno.test("a server that went down before it was seen as a standby is left as well", () => {
  const machine = cutOff().probe("a", false);
  assertEquals(machine.active, "a");
  machine.result("a", answeredAs("unknown", { phase: "starting" }));
  assertEquals(machine.active, "a");
  machine.result("a", answeredAs("standby"));
  assertEquals([machine.active, machine.done], [undefined, ["hold", "drain"]]);
});

Deno.test("one answer ends its service and its sessions, since it may be the primary again at the next one", () => {
  const machine = cutOff({ ...ROLES, fall: 3 }).result("a", answeredAs("standby"));
  assertEquals(machine.active, undefined);
  assertEquals(machine.drains, ["a through 7 after 0 ms"]);
  machine.result("a", answeredAs("primary"));
  assertEquals(machine.active, undefined);
});

Deno.test("the sessions of a server that was lost before it was seen as a standby end at once", () => {
  const machine = cutOff().probe("b", false).probe("a", false).probe("a", false);
  assertEquals([machine.active, machine.drains], [undefined, []]);
  machine.result("a", answeredAs("standby"));
  assertEquals(machine.drains, ["a through 7 after 0 ms"]);
  machine.result("a", answeredAs("standby"));
  assertEquals(machine.drains, []);
  const keeps = cutOff({ ...ROLES, sessionsOnDown: "keep" }).result("a", answeredAs("standby"));
  assertEquals([keeps.active, keeps.drains], [undefined, []]);
});

Deno.test("a proxy that starts without the coordinator does not trust what it remembers of a standby", () => {
  const memory = memoryOf(cutOff().state);
  const started = () => {
    const machine = new Machine(ROLES);
    machine.state = initialState([a, b], 0, memory);
    return machine.view({ role: "cutOff" }).take({ type: "begun" });
  };
  const machine = started().result("b", answeredAs("primary")).result("a", answeredAs("standby"));
  machine.result("b", answeredAs("primary")).result("a", answeredAs("primary"));
  assertEquals(machine.active, undefined);
  machine.view({ ...FOLLOWS, decision: decision({ epoch: 9, to: "b" }) });
  assertEquals(machine.result("b", answeredAs("primary")).active, "b");
  // What never was a standby is served.
  assertEquals(started().result("a", answeredAs("primary")).active, "a");
});

Deno.test("a proxy leaves a standby also if it has only read the beginning of its own promotion, or nothing at all", () => {
  const own = leader(ROLES).result("a", answeredAs("primary"));
  const { epoch } = own.state;
  const promoting = decision({ epoch, phase: "promoting", by: SELF });
  own.view({ role: "cutOff", decision: promoting }).result("b", answeredAs("primary"));
  const memory = memoryOf(cutOff().state);
  const started = new Machine(ROLES);
  started.state = initialState([a, b], 0, memory);
  started.view({ role: "cutOff" }).take({ type: "begun" }).result("a", answeredAs("primary"));
  for (const machine of [own, started]) {
    assertEquals(machine.active, "a");
    machine.result("a", answeredAs("standby"));
    assertEquals([machine.active, machine.done.slice(0, 2)], [undefined, ["hold", "drain"]]);
    assertEquals(machine.result("a", answeredAs("primary")).active, undefined);
  }
});

Deno.test("what is seen while a proxy that starts still waits for the coordinator counts", () => {
  const memory = memoryOf(cutOff().state);
  const seen = (): Machine => {
    const machine = new Machine(ROLES);
    machine.state = initialState([a, b], 0, memory);
    machine.result("a", answeredAs("standby"));
    assertEquals(machine.done, []);
    return machine.result("a", answeredAs("primary")).result("b", answeredAs("standby"));
  };
  const isCutOff = seen().view({ role: "cutOff" }).take({ type: "begun" });
  isCutOff.result("b", answeredAs("standby")).result("a", answeredAs("primary"));
  assertEquals(isCutOff.active, undefined);
  isCutOff.view({ ...FOLLOWS, decision: decision() }).result("a", answeredAs("primary"));
  assertEquals(isCutOff.active, "a");
  const follows = seen().view({ ...FOLLOWS, decision: decision() }).take({ type: "begun" });
  assertEquals(follows.result("a", answeredAs("primary")).active, "a");
  // A proxy without others decides itself.
  const alone = seen().take({ type: "begun" });
  assertEquals(alone.result("a", answeredAs("primary")).active, "a");
});

Deno.test("a server that somebody else promotes is served although it was a standby", () => {
  const machine = cutOff({ ...ROLES, roles: { maxLag: undefined, promotedBy: "others" } });
  machine.result("a", answeredAs("standby")).result("b", answeredAs("primary"));
  assertEquals(machine.active, "a");
});
