/** When an incident begins and ends, by the events of one service. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { step } from "../failover/machine.ts";
import type { Policy } from "../failover/state.ts";
import type { Input } from "../failover/steps.ts";
import { decision, follower } from "../failover/testing/cluster_machine.ts";
import { POLICY } from "../failover/testing/policy.ts";
import type { IncidentRecord } from "./record.ts";
import { Recorder } from "./recorder.ts";

const COUNTERS = { held: 0, released: 0, lost: 0, clientReceivedBytes: 0 };

/** A recorder of a service with the primary `a`, and the last state of each incident, oldest first. */
function fixture() {
  const clock = new ManualClock();
  const records = new Map<string, IncidentRecord>();
  const counters = { ...COUNTERS };
  let ids = 0;
  const recorder = new Recorder(
    { service: "shop", primary: "a", version: "1.2.3", configHash: "c0ffee" },
    {
      clock,
      counters: () => ({ ...counters }),
      newId: () => `id-${++ids}`,
      onChange: ({ record }) => void records.set(record.id, record),
    },
  );
  const take = (...events: readonly Event[]) => {
    for (const event of events) {
      recorder.take({ seq: 1, time: clock.wall(), service: "shop", event });
    }
  };
  const started = (epoch: number, to: string, move: "start" | "failover" | "failback"): Event => ({
    ...{ type: "promotion.started", id: `p-${epoch}`, epoch, to, move, reason: "a reason" },
  });
  const finished = (epoch: number, to: string, move: "start" | "failover" | "failback"): Event => ({
    ...{ type: "promotion.finished", id: `p-${epoch}`, epoch, to, move, reason: "a reason" },
    tookMs: 5,
  });
  const promote = (epoch: number, to: string, move: "start" | "failover" | "failback") =>
    take(started(epoch, to, move), finished(epoch, to, move));
  const summaries = () =>
    [...records.values()].map(({ kind, outcome, to }) => `${kind} ${outcome} ${to ?? "-"}`);
  return { clock, recorder, counters, records, take, promote, started, summaries };
}

const DOWN: Event = { type: "upstream.down", upstream: "a", reason: "refused", failingMs: 40 };
const HELD: Event = { type: "clients.held", reason: "a is down", holdMs: 10_000 };
const LOST: Event = { type: "selection.started", reason: "a is down" };

Deno.test("the start is an incident of its own, and a failover begins with the first failure", async () => {
  const { clock, recorder, records, take, promote, summaries } = fixture();
  take({ type: "selection.started", reason: "start" });
  promote(1, "a", "start");
  await clock.advance(60_000);
  take(DOWN, HELD, LOST);
  await clock.advance(100);
  promote(2, "b", "failover");
  recorder.stop();
  assertEquals(summaries(), ["start served a", "failover served b"]);
  const { began, t, promotions } = [...records.values()][1]!;
  assertEquals(Date.parse(t.down!) - Date.parse(began), 40);
  assertEquals([t.first_failure, promotions], [began, ["p-2"]]);
});

Deno.test("the failure of an upstream that does not serve is no incident", () => {
  const { take, promote, summaries, recorder } = fixture();
  promote(1, "a", "start");
  take({ ...DOWN, upstream: "b" });
  recorder.stop();
  assertEquals(summaries(), ["start served a"]);
});

Deno.test("a move that fails returns, and a promotion that fails on the way stays in the same incident", () => {
  const { take, promote, started, summaries, records, recorder } = fixture();
  promote(1, "b", "start");
  take(started(2, "a", "failback"));
  take({ type: "promotion.abandoned", id: "p-2", epoch: 2, to: "a", reason: "a trigger failed" });
  take({ type: "service.returned", upstream: "b", epoch: 3, reason: "it failed", tookMs: 1 });
  recorder.stop();
  assertEquals(summaries().at(-1), "failback returned b");
  assertEquals([...records.values()].at(-1)!.promotions, ["p-2"]);
});

Deno.test("an upstream that recovers before anything was decided ends its incident", () => {
  const { take, promote, summaries, recorder } = fixture();
  promote(1, "a", "start");
  take(DOWN, { type: "upstream.up", upstream: "a", reason: "connected" });
  recorder.stop();
  assertEquals(summaries().at(-1)?.split(" ").slice(0, 2), ["failover", "recovered"]);
});

Deno.test("a service that dies, and a process that ends, end the incident under way", () => {
  const first = fixture();
  first.promote(1, "a", "start");
  first.take(DOWN, { type: "service.died", reason: "a bug", retryInMs: 250 });
  assertEquals(first.summaries().at(-1)?.split(" ")[1], "died");
  const second = fixture();
  second.promote(1, "a", "start");
  second.take(DOWN);
  second.recorder.stop();
  second.take({ type: "upstream.up", upstream: "a", reason: "connected" });
  assertEquals(second.summaries().at(-1)?.split(" ")[1], "stopped");
});

Deno.test("the return to the primary is noted in the incidents that left it", () => {
  const { take, promote, records, recorder } = fixture();
  promote(1, "a", "start");
  take(DOWN, HELD, LOST);
  promote(2, "b", "failover");
  promote(3, "a", "failback");
  recorder.stop();
  const failover = [...records.values()].find(({ kind }) => kind === "failover")!;
  assertEquals(failover.t.recovered !== undefined, true);
});

Deno.test("counts are read while clients wait and for a while after that, and then no timer is left", async () => {
  const { clock, counters, take, promote, records } = fixture();
  promote(1, "a", "start");
  await clock.advance(60_000);
  assertEquals(clock.pending, 0);
  take(DOWN, HELD);
  counters.held = 4;
  await clock.advance(100);
  counters.held = 0;
  counters.released = 4;
  promote(2, "b", "failover");
  for (let i = 0; i < 130; i++) await clock.advance(100);
  const { clients } = [...records.values()].at(-1)!;
  assertEquals([clients.most_held, clients.released], [4, 4]);
  assertEquals(clock.pending, 0);
});

Deno.test("where another proxy decides, the incident says what it decided, where clients went, and why", () => {
  const { take, records, recorder, summaries } = fixture();
  const followed = (
    epoch: number,
    to: string,
    move: "failover" | "switchover" | "failback",
  ): Event => ({
    ...{ type: "decision.followed", to, epoch, move, by: "p1", reason: "a reason", tookMs: 58 },
  });
  take({ type: "selection.started", reason: "start" }, followed(7, "a", "failover"));
  take(HELD, { type: "selection.started", reason: "p1 promotes b (epoch 8)" });
  take(followed(8, "b", "switchover"));
  // Where triggers run beside the traffic, nobody waits.
  take(followed(9, "a", "failback"), followed(10, "a", "failover"));
  recorder.stop();
  assertEquals(summaries(), ["start served a", "switchover served b", "failback served a"]);
  const [, moved, back] = [...records.values()];
  const { from, epoch, reason, interrupted_ms, t } = moved!;
  assertEquals([from, epoch, interrupted_ms], ["a", 8, 58]);
  assertEquals(reason, "decided by p1: a reason");
  assertEquals([back!.from, back!.epoch, t.recovered !== undefined], ["b", 9, true]);
});

Deno.test("where nobody waits, the incident of a follower begins with what it learned, for a replay", async () => {
  const { clock, take, records, recorder, promote } = fixture();
  promote(7, "a", "start");
  await clock.advance(60_000);
  const policy: Policy = { ...POLICY, triggers: "beside" };
  const { state } = follower(policy);
  const decided = decision({ epoch: 8, to: "b", from: "a" });
  const input: Input = { type: "coordinated", view: { ...state.cluster!, decision: decided } };
  const learned = clock.wall();
  recorder.step({ input, before: state, policy, step: step(state, input, clock.now(), policy) });
  // The threads that move bytes learn it first.
  await clock.advance(40);
  const { move, by, reason } = decided;
  take({ type: "decision.followed", to: "b", epoch: 8, move, by, reason, tookMs: 0 });
  recorder.stop();
  assertEquals(Date.parse([...records.values()].at(-1)!.began), learned);
});
