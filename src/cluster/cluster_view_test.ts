import { assert, assertEquals } from "@std/assert";
import type { Decision } from "../failover/cluster.ts";
import { viewOf, viewText } from "./cluster_view.ts";
import { decisionText, ordersText, seenText, storedOf } from "./keys.ts";

const entry = (value: string) => ({ value, modRevision: 2, createRevision: 2, lease: "1" });
const seen = seenText({
  ...{ version: "1", list: ["a"], up: ["a"], down: [] },
  ...{ traffic: "flows", held: 0 },
});
const DECISION: Decision = {
  ...{ epoch: 1, to: "a", from: undefined, phase: "done", move: "start", reason: "", by: "p1" },
};
const STORED = storedOf({
  revision: 2,
  entries: new Map([
    ["leader", entry("p1")],
    ["decision", entry(decisionText(DECISION))],
    ["seen/p1", entry(seen)],
    ["seen/p2", entry(seen)],
    ["orders", entry(ordersText({ paused: undefined, drained: new Map(), pinned: "a" }))],
  ]),
});

Deno.test("viewOf() has the votes of the others, and none for a proxy that is cut off", () => {
  const view = viewOf(STORED, "follows", "p2", "fails");
  assertEquals([view.role, view.leader, view.traffic], ["follows", "p1", "fails"]);
  const names = [view, viewOf(undefined, "cutOff", "p2", "none")].map(({ instance }) => instance);
  assertEquals(names, ["p2", "p2"]);
  assertEquals([...view.others], [["p1", { up: ["a"], down: [], traffic: "flows" }]]);
  assertEquals(view.orders?.pinned, "a");
  assertEquals([view.decision, view.fence], [DECISION, 2]);
  assertEquals(viewOf(STORED, "cutOff", "p2", "none").others.size, 0);
  assertEquals(viewOf(undefined, "leads", "p2", "none").decision, undefined);
});

Deno.test("viewText() differs where the machine could decide differently", () => {
  const view = viewOf(STORED, "follows", "p2", "fails");
  assertEquals(viewText(view), viewText(viewOf(STORED, "follows", "p2", "fails")));
  for (
    const other of [
      viewOf(STORED, "leads", "p2", "fails"),
      viewOf(STORED, "follows", "p2", "flows"),
      { ...view, others: new Map() },
      { ...view, orders: undefined },
      { ...view, fence: 3 },
    ]
  ) assert(viewText(view) !== viewText(other));
});
