/** Each rule of the history is broken once: a program that finds no breach must be able to find one. */
import { assertEquals } from "@std/assert";
import type { StoredDecision } from "./etcd_history.ts";
import {
  breachesOf,
  decisionBreaches,
  lostWrites,
  type Opened,
  promotionBreaches,
  readTriggers,
  staleAnswers,
} from "./history.ts";
import type { Answer } from "./writer.ts";

const GOOD = `begin p1-x-1 start a 1 5 1000
end p1-x-1 start a 1 5 1100
begin p2-x-2 failover b 2 9 2000
failed p2-x-2 failover b 2 9 2050
begin p2-x-2 failover b 2 9 2100
end p2-x-2 failover b 2 9 2200
`;

Deno.test("a history that keeps the rules has no breach", () => {
  assertEquals(breachesOf(readTriggers(GOOD)), []);
});

Deno.test("each broken rule of triggers is named", () => {
  const breach = (more: string) => breachesOf(readTriggers(GOOD + more));
  assertEquals(breach("overlap p3-x-3 resume a 3 10 2050\n"), [
    "epoch 3 began while another trigger was running",
  ]);
  assertEquals(breach("begin p3-y-2 failover b 2 9 3000\n"), [
    "epoch 2 was begun by p2-x and by p3-y",
  ]);
  assertEquals(breach("begin p3-x-3 failover a 3 8 3000\n"), ["fence 8 came after 9"]);
  assertEquals(breach("begin p3-x-3 failover a 3  3000\n"), [
    "epoch 3 has no fence",
    "fence 0 came after 9",
  ]);
  assertEquals(breach("begin p3-x-1 failover a 1 12 3000\n"), [
    "epoch 1 was begun by p1-x and by p3-x",
    "epoch 1 came after 2",
  ]);
  assertEquals(breach("refused p3-x-3 resume a 3 8 2050\n"), [
    "the fence of epoch 3 was refused",
  ]);
});

function decision(
  [revision, epoch, to, phase]: readonly [number, number, string, string],
  by: string,
): StoredDecision {
  return { revision, epoch, to, phase, by: `host-${by}`, move: "failover", reason: "" };
}

const DECISIONS = [
  decision([5, 1, "a", "promoting"], "p1-x"),
  decision([7, 1, "a", "done"], "p1-x"),
  decision([9, 2, "b", "promoting"], "p2-x"),
  decision([12, 2, "b", "done"], "p2-x"),
];

Deno.test("decisions that keep the rules have no breach", () => {
  assertEquals(decisionBreaches(DECISIONS, readTriggers(GOOD)), []);
});

Deno.test("each broken rule of decisions is named", () => {
  const lines = readTriggers(GOOD);
  const breach = (...more: StoredDecision[]) => decisionBreaches([...DECISIONS, ...more], lines);
  assertEquals(breach(decision([15, 1, "a", "done"], "p1-x")), [
    "the decision 1 was stored after 2",
  ]);
  assertEquals(breach(decision([15, 2, "a", "done"], "p2-x")), ["epoch 2 went from b to a"]);
  assertEquals(breach(decision([15, 2, "b", "done"], "p3-x")), [
    "epoch 2 was decided by host-p2-x and by host-p3-x",
  ]);
  assertEquals(breach(decision([15, 2, "b", "promoting"], "p2-x")), [
    "epoch 2 was done, and then promoting",
  ]);
});

Deno.test("each trigger that does not fit its decision is named", () => {
  const breach = (more: string, of = DECISIONS) => decisionBreaches(of, readTriggers(GOOD + more));
  assertEquals(breach("begin p3-x-3 failover a 3 14 3000\n"), [
    "the triggers of epoch 3 were begun, which was never stored",
  ]);
  const third = [...DECISIONS, decision([14, 3, "a", "promoting"], "p3-x")];
  assertEquals(breach("begin p3-x-3 failover a 3 14 3000\n", third), []);
  assertEquals(breach("begin p3-x-3 failover b 3 14 3000\n", third), [
    "epoch 3 is for a, its triggers for b",
  ]);
  assertEquals(breach("begin p1-x-3 failover a 3 14 3000\n", third), [
    "epoch 3 was decided by host-p3-x, and begun by p1-x",
  ]);
  assertEquals(breach("begin p3-x-3 failover a 3 15 3000\n", third), [
    "epoch 3 was stored at 14, and its fence is 15",
  ]);
  const done = [...third, decision([16, 3, "a", "done"], "p3-x")];
  assertEquals(breach("begin p3-x-3 failover a 3 14 3000\n", done), [
    "epoch 3 was done before its triggers were",
  ]);
});

Deno.test("a server that is promoted without a decision of that proxy is named", () => {
  const breach = (by: string, to: string, epoch: number) =>
    promotionBreaches(DECISIONS, [{ by, to, epoch }]);
  assertEquals(breach("host-p2-x", "b", 2), []);
  assertEquals(breach("host-p1-x", "b", 2), [
    "host-p1-x promoted b in epoch 2, and did not decide it",
  ]);
  assertEquals(breach("host-p2-x", "a", 2).length, 1);
  assertEquals(breach("host-p2-x", "b", 3).length, 1);
});

Deno.test("a write that was acknowledged and is not there is lost", () => {
  assertEquals(lostWrites(["a-1", "a-2"], new Set(["a-2", "a-3"])), ["write a-1 is lost"]);
  assertEquals(lostWrites(["a-2"], new Set(["a-2", "a-3"])), []);
});

Deno.test("an answer of a server to which the proxy lets no client is stale", () => {
  const opened: Opened[] = [
    { proxy: 0, to: "a", epoch: 1, at: 10_000 },
    { proxy: 1, to: "a", epoch: 1, at: 10_000 },
    { proxy: 0, to: "b", epoch: 2, at: 60_000 },
    { proxy: 0, to: "a", epoch: 3, at: 120_000 },
  ];
  const write = (server: string, since: number, sentAt: number, proxy = 0): Answer => ({
    ...{ proxy, server, since, sentAt, at: sentAt + 10 },
  });
  const isStale = (each: Answer) => staleAnswers(opened, [each]).length > 0;
  assertEquals(staleAnswers(opened, [write("a", 70_000, 70_000)]), [
    "a client of proxy 0 was answered by a at 00:01:10.010, and may not be",
  ]);
  // A new connection goes to the new server at once; an old one may be used a moment longer.
  assertEquals(isStale(write("a", 60_000, 60_400)), false);
  assertEquals(isStale(write("a", 60_600, 60_700)), true);
  assertEquals(isStale(write("a", 20_000, 61_500)), false);
  assertEquals(isStale(write("a", 20_000, 62_500)), true);
  assertEquals(isStale(write("b", 61_000, 62_500)), false);
  assertEquals(isStale(write("a", 121_000, 122_000)), false);
  // The proxy may have let them through a while before that was read.
  assertEquals(isStale(write("b", 55_000, 55_000)), false);
  assertEquals(isStale(write("b", 45_000, 45_000)), true);
  // Each proxy counts by itself, and a server that nobody has chosen never counts.
  assertEquals(isStale(write("a", 70_000, 70_000, 1)), false);
  assertEquals(isStale(write("c", 70_000, 70_000, 1)), true);
});
