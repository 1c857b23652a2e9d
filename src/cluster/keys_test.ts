import { assertEquals } from "@std/assert";
import type { Decision, SharedOrders } from "../failover/cluster.ts";
import type { OperatorOrder } from "../failover/orders.ts";
import type { KeyEntry } from "./etcd.ts";
import {
  decisionText,
  ordersText,
  outcomeText,
  passedText,
  prefixOf,
  seenText,
  storedOf,
} from "./keys.ts";

const reading = (values: Readonly<Record<string, string>>) => ({
  revision: 9,
  entries: new Map(
    Object.entries(values).map(([key, value], index) => [key, {
      value,
      modRevision: index + 2,
      createRevision: index + 1,
      lease: "7",
    }]),
  ),
});

const DECISION: Decision = {
  epoch: 4,
  to: "b",
  from: "a",
  phase: "promoting",
  move: "failover",
  reason: "a is down",
  by: "p1",
};
const ANN = { by: "ann", reason: "works" };

Deno.test("storedOf() reads what the other functions write", () => {
  const orders: SharedOrders = { paused: ANN, drained: new Map([["b", ANN]]), pinned: "a" };
  const seen = {
    ...{ version: "1", list: ["a", "b"], up: ["a"], down: ["b"] },
    ...{ traffic: "flows" as const, held: 3 },
  };
  const orderList: OperatorOrder[] = [
    { name: "switchover", to: "b", maxWaitMs: 5 },
    { name: "drain", upstream: "b" },
    { name: "undrain", upstream: "b" },
    { name: "failback" },
    { name: "pause" },
    { name: "resume" },
  ];
  const passed = orderList.map((order, index) => [`order/${index}`, passedText(order, ANN)]);
  const stored = storedOf(reading({
    leader: "p1",
    decision: decisionText(DECISION),
    orders: ordersText(orders),
    "seen/p1": seenText(seen),
    "outcome/x": outcomeText({ is: "refused", reason: "no" }),
    "outcome/y": outcomeText({ is: "accepted" }),
    ...Object.fromEntries(passed),
  }));
  assertEquals(stored.revision, 9);
  assertEquals(stored.leader, { instance: "p1", lease: "7", revision: 1 });
  assertEquals([stored.decision, stored.decisionRevision], [DECISION, 3]);
  assertEquals(stored.orders, orders);
  assertEquals(stored.seen, new Map([["p1", seen]]));
  assertEquals(stored.passed.map(({ order }) => order), orderList);
  assertEquals(stored.passed[0]?.source, ANN);
  assertEquals([...stored.outcomes], [["x", { is: "refused", reason: "no" }], [
    "y",
    { is: "accepted" },
  ]]);
});

Deno.test("storedOf() takes what it cannot read as missing", () => {
  const texts = ["", "null", "[]", "7", "{", "{}", '{"epoch":"4"}', '{"drained":[1,[2],["a",3]]}'];
  for (const text of texts) {
    const stored = storedOf(reading({
      ...{ decision: text, orders: text, "seen/p1": text, "order/1": text, "outcome/1": text },
    }));
    assertEquals([stored.decision, stored.decisionRevision], [undefined, 2], text);
    assertEquals([stored.seen.size, stored.passed.length, stored.outcomes.size], [0, 0, 0], text);
    assertEquals(stored.orders?.drained.size ?? 0, 0, text);
  }
  assertEquals(storedOf(reading({})).leader, undefined);
});

Deno.test("storedOf() counts nobody as alive who has no lease", () => {
  const seen = { version: "1", list: [], up: [], down: [], traffic: "none" as const, held: 0 };
  const { entries, revision } = reading({ "seen/p1": seenText(seen) });
  const byHand = { ...entries.get("seen/p1")!, lease: undefined };
  const all = new Map<string, KeyEntry>([...entries, ["seen/p2", byHand]]);
  const stored = storedOf({ revision, entries: all });
  assertEquals([...stored.seen.keys()], ["p1"]);
});

Deno.test("prefixOf() keeps services and clusters apart, whatever their names", () => {
  assertEquals(prefixOf("prod", "db"), "/failover/v1/prod/db/");
  assertEquals(prefixOf("prod/db", ""), "/failover/v1/prod%2Fdb/_/");
});
