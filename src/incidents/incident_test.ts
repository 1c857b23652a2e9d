import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Taken } from "../failover/controller.ts";
import { initialState } from "../failover/state.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { Incident } from "./incident.ts";
import type { IncidentCounters } from "./record.ts";

const WALL = Date.parse("2026-11-21T03:00:00Z");

const UPSTREAM = { name: "b", rank: 1, address: { kind: "tcp" as const, host: "b", port: 1 } };
const STATE = initialState([UPSTREAM], 0);
/** A step that lets clients in. */
const OPENED: Taken = {
  input: { type: "ticked" },
  before: STATE,
  policy: POLICY,
  step: { state: STATE, effects: [{ do: "open", upstream: UPSTREAM, epoch: 2 }] },
};

/** An incident, and the changes that were reported. */
function fixture(counters: () => IncidentCounters = () => ({})) {
  const clock = new ManualClock(0, WALL);
  const changes: string[] = [];
  const incident = new Incident({
    ...{ id: "x", service: "db", version: "1.2.3", configHash: "c0ffee" },
    ...{ kind: "failover", reason: "a is down", from: "a", began: WALL },
  }, {
    clock,
    counters,
    onChange: (_, what) => changes.push(what),
    range: undefined,
    pace: undefined,
  });
  return { clock, incident, changes };
}

Deno.test("a moment is the first of its kind, and an earlier one dates the beginning back", () => {
  const { incident } = fixture();
  incident.reach("down", WALL);
  incident.reach("down", WALL + 5_000);
  incident.reach("first_failure", WALL - 2_000);
  const { t, began } = incident.record;
  assertEquals([t.down, t.first_failure], ["2026-11-21T03:00:00.000Z", "2026-11-21T02:59:58.000Z"]);
  assertEquals([began, incident.began], [t.first_failure, WALL - 2_000]);
});

Deno.test("it is undecided until clients wait, somebody is looked for or a promotion begins", () => {
  for (
    const decide of [
      ({ incident }: ReturnType<typeof fixture>) => incident.reach("held", WALL),
      ({ incident }: ReturnType<typeof fixture>) => incident.takeNobody(WALL),
      ({ incident }: ReturnType<typeof fixture>) =>
        incident.takePromotion({
          ...{ type: "promotion.started", move: "failover", id: "p-1", epoch: 2 },
          ...{ from: "a", to: "b", reason: "a is down" },
        }, undefined),
    ]
  ) {
    const each = fixture();
    assertEquals(each.incident.isUndecided, true);
    decide(each);
    assertEquals(each.incident.isUndecided, false);
  }
});

Deno.test("a client has an answer as soon as bytes have reached one since clients were let in", () => {
  const counts = { held: 3, clientReceivedBytes: 100 };
  const { incident } = fixture(() => counts);
  counts.clientReceivedBytes++;
  incident.look();
  incident.addStep(OPENED);
  incident.end("served", WALL + 1_000, []);
  incident.look();
  assertEquals([incident.hasSucceeded, incident.record.clients.most_held], [false, 3]);
  counts.clientReceivedBytes++;
  incident.look();
  assertEquals(incident.hasSucceeded, true);
});

Deno.test("what changes after it is complete is reported, and its counts stay", () => {
  let held = 1;
  const { incident, changes } = fixture(() => ({ held }));
  incident.end("served", WALL, []);
  incident.settle();
  incident.settle();
  held = 9;
  incident.look();
  incident.takeCut({ type: "sessions.cut", upstream: "a", count: 2, kept: 1, reason: "" });
  assertEquals(incident.record.clients.most_held, 1);
  assertEquals(incident.record.sessions, { cut: 2, kept: 1 });
  assertEquals(changes, ["begun", "ended", "settled", "amended"]);
});
