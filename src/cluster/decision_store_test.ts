import { assert, assertEquals } from "@std/assert";
import { failoverOf, oneProxy } from "./testing/membership.ts";

Deno.test("a call whose answer is lost stores the decision once, and finds it", async () => {
  const { members, p1 } = await oneProxy();
  const revisions: number[] = [];
  members.etcd.onChange = (key, value, revision) => {
    if (key !== "decision" || value === undefined) return;
    revisions.push(revision);
    // Nothing arrives any more, for two seconds.
    members.cutFor(2_000, "p1");
  };
  const grant = await members.settle(p1.coordinator.decide(failoverOf(1)));
  assertEquals(grant, { fence: revisions[0] });
  assertEquals(revisions.length, 1);
});

Deno.test("a decision that somebody else has stored meanwhile is not replaced", async () => {
  const { members, p1 } = await oneProxy();
  const value = JSON.stringify({ ...failoverOf(5), phase: "done", by: "p2" });
  members.etcd.keys.set("decision", {
    ...{ value, modRevision: ++members.etcd.revision, createRevision: 1, lease: undefined },
  });
  const grant = await members.settle(p1.coordinator.decide(failoverOf(6)));
  assertEquals(grant, { denied: "epoch 5 was decided by p2" });
  assertEquals(members.etcd.keys.get("decision")?.value, value);
});

Deno.test("a decision that etcd refuses to store is given up after the time of a lease", async () => {
  const { members, p1 } = await oneProxy();
  members.etcd.refuses = "mvcc: database space exceeded";
  const began = members.clock.now();
  const grant = await members.settle(p1.coordinator.decide(failoverOf(1)));
  assertEquals(grant, { denied: "etcd does not store it: mvcc: database space exceeded" });
  assert(members.clock.now() - began < 15_000);
  members.etcd.refuses = undefined;
  assert("fence" in await members.settle(p1.coordinator.decide(failoverOf(2))));
});

Deno.test("a proxy whose clock jumps asks etcd before it decides", async () => {
  const { members, p1 } = await oneProxy();
  members.cut.add("p1");
  members.clock.wall = () => 1e13 + members.clock.now();
  assert("denied" in await members.settle(p1.coordinator.decide(failoverOf(1))));
  members.cut.delete("p1");
  await members.pass(3_000);
  assert("fence" in await members.settle(p1.coordinator.decide(failoverOf(2))));
});

Deno.test("an end whose answer is lost is found as well", async () => {
  const { members, p1 } = await oneProxy();
  await members.settle(p1.coordinator.decide(failoverOf(1)));
  members.etcd.onChange = (key) => {
    if (key !== "decision") return;
    members.cutFor(2_000, "p1");
  };
  const { id: _, ...end } = failoverOf(1);
  assertEquals(await members.settle(p1.coordinator.conclude(end)), undefined);
});

Deno.test("a decision that somebody has removed does not hinder the next one", async () => {
  const { members, p1 } = await oneProxy();
  const first = await members.settle(p1.coordinator.decide(failoverOf(1)));
  members.etcd.keys.delete("decision");
  members.etcd.revision++;
  await members.pass(3_000);
  const next = await members.settle(p1.coordinator.decide(failoverOf(2)));
  assert("fence" in first && "fence" in next && next.fence! > first.fence!);
});

Deno.test("the end of a promotion is not stored over a newer one of the same proxy", async () => {
  const { members, p1: { coordinator } } = await oneProxy();
  await members.settle(coordinator.decide(failoverOf(1)));
  const { id: _, ...end } = failoverOf(1);
  // At once, so that the newer one has not been read yet.
  const late = coordinator.decide(failoverOf(2)).then(() => coordinator.conclude(end));
  assertEquals(await members.settle(late), "epoch 2 was decided by p1");
  const { epoch, phase } = JSON.parse(members.etcd.keys.get("decision")!.value);
  assertEquals([epoch, phase], [2, "promoting"]);
});

Deno.test("a promotion that has just been finished is not begun anew as if it were unfinished", async () => {
  const { members, p1: { coordinator } } = await oneProxy();
  await members.settle(coordinator.decide(failoverOf(1)));
  const { id: _, ...end } = failoverOf(1);
  // At once, so that the end has not been read yet.
  const again = { ...failoverOf(2), move: "resume" } as const;
  const late = coordinator.conclude(end).then(() => coordinator.decide(again));
  assertEquals(await members.settle(late), {
    denied: "the promotion of b in epoch 1 is finished",
  });
  const { epoch, phase } = JSON.parse(members.etcd.keys.get("decision")!.value);
  assertEquals([epoch, phase], [1, "done"]);
});

Deno.test("a failover is stored only when what this proxy has stored before it is read, and it is still to be begun", async () => {
  const { members, p1 } = await oneProxy();
  await members.settle(p1.coordinator.decide(failoverOf(1)));
  const { id: _, ...end } = failoverOf(1);
  const next = { ...failoverOf(2), from: "b", to: "a" };
  // At once, so that the end has not been read yet.
  const givenUp = p1.coordinator.conclude(end).then(() => p1.coordinator.decide(next));
  assertEquals(await members.settle(givenUp), { denied: "it was given up before it was stored" });
  const { epoch, phase } = JSON.parse(members.etcd.keys.get("decision")!.value);
  assertEquals([epoch, phase], [1, "done"]);
  assert("fence" in await members.settle(p1.coordinator.decide(next)));
});
