import { assert, assertEquals } from "@std/assert";
import type { IncidentRecord } from "./record.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { Incidents } from "./incidents.ts";
import { IncidentFixture } from "./testing/incident_fixture.ts";

/** The moments that were reached, in milliseconds since the beginning of the incident. */
function moments({ began, t }: IncidentRecord): Record<string, number> {
  const entries = Object.entries(t).map(([moment, time]) =>
    [moment, Date.parse(time!) - Date.parse(began)] as const
  );
  return Object.fromEntries(entries.toSorted(([, a], [, b]) => a - b));
}

/** A pair of which the first has just gone down. */
async function failed(fixture: IncidentFixture): Promise<void> {
  await fixture.start(PASSED, PASSED);
  await fixture.clock.advance(20_000);
  for (let check = 0; check < 3; check++) {
    if (check > 0) await fixture.clock.advance(500);
    await fixture.answer("a", REFUSED);
  }
}

Deno.test("a failover has its moments, its evidence, its triggers and its cost", async () => {
  await using fixture = new IncidentFixture();
  // Waits of an earlier incident.
  for (let n = 0; n < 50; n++) fixture.holdTimes.add(20_000);
  fixture.triggers = { tookMs: 800, outcome: { how: "ran" } };
  await fixture.start(PASSED, PASSED);
  await fixture.clock.advance(20_000);
  await fixture.answer("a", REFUSED);
  await fixture.clock.advance(500);
  await fixture.answer("a", REFUSED);
  await fixture.clock.advance(500);
  await fixture.answer("a", REFUSED);
  fixture.counters.held = 7;
  await fixture.clock.advance(200);
  assertEquals([fixture.last.kind, fixture.last.outcome], ["failover", null]);
  await fixture.answer("a", REFUSED);
  await fixture.answer("b", PASSED);
  await fixture.clock.advance(800);
  Object.assign(fixture.counters, { held: 0, released: 6, lost: 1 });
  for (const ms of [800, 900, 1_000, 1_000, 1_000, 1_100]) fixture.holdTimes.add(ms);
  await fixture.clock.advance(300);
  fixture.counters.clientReceivedBytes = 10;
  await fixture.clock.advance(100);

  const record = fixture.last;
  assertEquals([record.kind, record.outcome, record.epoch], ["failover", "served", 2]);
  assertEquals([record.from, record.to, record.by], ["a", "b", null]);
  assertEquals(record.reason, "a is down: connection refused");
  assertEquals(record.promotions, ["test-2"]);
  assertEquals(moments(record), {
    first_failure: 0,
    down: 1_002,
    held: 1_002,
    triggers_begin: 1_202,
    triggers_end: 2_002,
    open: 2_002,
    first_success: 2_402,
  });
  assertEquals(record.interrupted_ms, 1_000);
  assertEquals(record.clients, {
    ...{ most_held: 7, hold_p50_ms: 1_000, hold_p99_ms: 2_500 },
    ...{ released: 6, lost: 1 },
  });
  assertEquals(record.triggers, [
    { program: "/promote", epoch: 2, reason: null, took_ms: 800 },
  ]);
  const evidence = record.evidence.map(({ upstream, passed }) => `${upstream} ${passed}`);
  assertEquals(evidence, ["a false", "a false", "a false", "a false", "b true"]);
  assertEquals([record.version, record.config_hash], ["1.2.3", "c0ffee"]);
});

Deno.test("the first promotion and a failback are incidents too, and the failback ends the failover", async () => {
  await using fixture = new IncidentFixture({ failback: { kind: "auto" } });
  await failed(fixture);
  await fixture.answer("b", PASSED);
  await fixture.answer("a", REFUSED);
  await fixture.clock.advance(0);
  await fixture.answer("b", PASSED);
  await fixture.clock.advance(5_000);
  await fixture.answer("a", PASSED, 2);
  await fixture.clock.advance(0);
  const [start, failover, failback] = fixture.incidents.list();
  assertEquals([start!.kind, start!.to], ["start", "a"]);
  assertEquals([failover!.kind, failover!.to], ["failover", "b"]);
  assertEquals([failback!.kind, failback!.from, failback!.to], ["failback", "b", "a"]);
  assertEquals(failover!.t.recovered, failback!.t.open);
  assertEquals(fixture.incidents.counts.map(({ kind, count }) => [kind, count]), [
    ["start", 1],
    ["failover", 1],
    ["failback", 1],
  ]);
});

Deno.test("a switchover names who ordered it; one that fails shows that the old upstream still served", async () => {
  await using fixture = new IncidentFixture();
  await fixture.start(PASSED, PASSED);
  fixture.triggers = { tookMs: 100, outcome: { how: "failed", reason: "exit code 1" } };
  const order = { name: "switchover", to: "b", maxWaitMs: 1_000 } as const;
  fixture.controller.order(order, { by: "ann", reason: "disk" });
  await fixture.clock.advance(2_000);
  const record = fixture.last;
  assertEquals([record.kind, record.outcome, record.by], ["switchover", "returned", "ann"]);
  assertEquals([record.from, record.to], ["a", "a"]);
  assertEquals(record.failed_promotions, [{ to: "b", epoch: 2, reason: "exit code 1" }]);
  assert(record.t.held !== undefined && record.t.held <= record.t.triggers_begin!);
});

Deno.test("a single upstream that goes down and comes back makes an outage", async () => {
  await using fixture = new IncidentFixture({}, ["a"]);
  await fixture.start(PASSED);
  await fixture.answer("a", REFUSED, 4);
  assertEquals([fixture.last.outcome, fixture.last.rounds_failed], [null, 1]);
  await fixture.clock.advance(3_000);
  await fixture.answer("a", PASSED, 2);
  assertEquals([fixture.last.kind, fixture.last.outcome, fixture.last.to], [
    "outage",
    "served",
    "a",
  ]);
  assert(fixture.last.t.refused !== undefined && fixture.last.t.nobody !== undefined);
});

Deno.test("a paused service is down until its upstream comes back by itself", async () => {
  await using fixture = new IncidentFixture();
  await fixture.start(PASSED, PASSED);
  fixture.controller.order({ name: "pause" }, { by: "ann", reason: "" });
  await fixture.answer("a", REFUSED, 3);
  assertEquals(fixture.last.outcome, null);
  await fixture.answer("a", PASSED, 2);
  assertEquals([fixture.last.outcome, fixture.last.promotions], ["recovered", []]);
});

Deno.test("an incident is found by its id, and by that of its promotion", async () => {
  await using fixture = new IncidentFixture();
  await failed(fixture);
  await fixture.answer("a", REFUSED);
  await fixture.answer("b", PASSED);
  const { id } = fixture.last;
  assertEquals(fixture.incidents.find(id)?.kind, "failover");
  assertEquals(fixture.incidents.find("test-2")?.id, id);
  assertEquals(fixture.incidents.find("test-9"), undefined);
  const recorded = (await fixture.incidents.inputs(id))!;
  assert(recorded.entries.length >= 5 && recorded.decided.length > 3);
});

Deno.test("the end of the process and of a service are ends of an incident", async () => {
  await using fixture = new IncidentFixture();
  await failed(fixture);
  fixture.events.publish("shop", { type: "service.died", reason: "a bug", retryInMs: 1_000 });
  assertEquals(fixture.last.outcome, "died");
  await using other = new IncidentFixture();
  await failed(other);
  other.events.publish("", { type: "proxy.stopping", reason: "SIGTERM", sessions: 0, drainMs: 1 });
  assertEquals(other.last.outcome, "stopped");
  await other.answer("b", PASSED);
  assertEquals([other.incidents.list().length, other.last.to], [2, null]);
});

Deno.test("the timeline has each change, and a state that lasts longer than a day only once", async () => {
  await using fixture = new IncidentFixture();
  await failed(fixture);
  await fixture.answer("a", REFUSED);
  await fixture.answer("b", PASSED);
  await fixture.clock.advance(1);
  const changes = fixture.incidents.timeline("shop");
  assertEquals(changes.map(({ phase, upstream, rank }) => [phase, upstream, rank]), [
    ["selecting", null, null],
    ["promoting", null, null],
    ["serving", "a", 0],
    ["selecting", null, null],
    ["promoting", null, null],
    ["serving", "b", 1],
  ]);
  await fixture.clock.advance(25 * 3_600_000);
  assertEquals(fixture.incidents.timeline("shop").length, 1);
  assertEquals(fixture.incidents.timeline("nobody"), []);
});

Deno.test("changes of the process are in the list of all, in their order, and in that of no service", async () => {
  await using fixture = new IncidentFixture();
  await fixture.start(PASSED, PASSED);
  const publish = fixture.events.scope("");
  publish({ type: "config.reloaded", by: "ann", changes: ["hold 1s → 2s"] });
  publish({ type: "config.reloaded", by: "ann", changes: ["hold 2s → 3s"] });
  const { incidents } = fixture;
  assertEquals(incidents.list().map(({ kind }) => kind), ["start", "reload", "reload"]);
  assertEquals(incidents.list("").map(({ by }) => by), ["ann", "ann"]);
  assertEquals(incidents.list("shop").length, 1);
  const ids = incidents.list("").map(({ id }) => id);
  assertEquals(new Set(ids).size, 2);
  assertEquals(incidents.find(ids[1]!)?.reason, "hold 2s → 3s");
  assertEquals(await incidents.inputs(ids[1]!), undefined);
});

Deno.test("what is under way in the state folder was killed, or handed over and is left to the other process", async () => {
  await using fixture = new IncidentFixture();
  await failed(fixture);
  const underWay = fixture.last;
  assertEquals(underWay.outcome, null);
  for (const isHandedOver of [false, true]) {
    const written: IncidentRecord[] = [];
    const later = new Incidents([], {
      clock: fixture.clock,
      version: "1.2.3",
      counters: () => ({}),
      storage: {
        load: () => Promise.resolve([underWay]),
        write: (record) => void written.push(record),
        inputs: () => Promise.resolve(undefined),
      },
    });
    await later.load(isHandedOver);
    await later.load(isHandedOver);
    assertEquals(later.list().map(({ outcome }) => outcome), [
      isHandedOver ? "handed_over" : "killed",
    ]);
    assertEquals(written.length, isHandedOver ? 0 : 1);
  }
});

Deno.test("what is under way when another process takes over ends then, and later events are not its", async () => {
  await using fixture = new IncidentFixture();
  await failed(fixture);
  const handed = { from: "1", fromPid: 1, to: "2", toPid: 2, sessions: 0, drainMs: 1 };
  fixture.events.scope("")({ type: "upgrade.handedOver", ...handed });
  assertEquals(fixture.last.outcome, "handed_over");
});
