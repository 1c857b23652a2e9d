import { assert, assertEquals, assertObjectMatch } from "@std/assert";
import type { Event, MoveKind } from "../events/events.ts";
import { type ClientCounts, type Notice, Notices, noticeSentence } from "./notices.ts";

const START = 1_000_000;

/** A service `shop` with the upstreams a, b and c; a test gives each event its time in seconds. */
class Fixture {
  counts: ClientCounts = {};
  readonly reported: Notice[] = [];
  readonly #notices = new Notices({ shop: "a" }, () => this.counts);
  #seq = 0;

  event(second: number, event: Event, service = "shop"): Notice | undefined {
    const stamped = { seq: ++this.#seq, time: START + second * 1_000, service, event };
    const notice = this.#notices.take(stamped);
    if (notice !== undefined) this.reported.push(notice);
    return notice;
  }

  down(second: number, upstream: string, failingMs = 0): Notice | undefined {
    return this.event(second, { type: "upstream.down", upstream, reason: "refused", failingMs });
  }

  selectionFailed(second: number, round: number): Notice | undefined {
    const reasons = [{ upstream: "a", reason: "refused" }];
    return this.event(second, { type: "selection.failed", round, retryInMs: 1, reasons });
  }

  moved(second: number, move: MoveKind, to: string, tookMs = 0): Notice | undefined {
    const reason = `${move} it is`;
    return this.event(second, {
      type: "promotion.finished",
      move,
      id: "x",
      epoch: 1,
      to,
      reason,
      tookMs,
    });
  }
}

Deno.test("a start on the primary and the failure of an idle backup are no incidents", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  fixture.down(1, "b");
  fixture.event(2, { type: "upstream.up", upstream: "b", reason: "connected" });
  assertEquals(fixture.reported, []);
  fixture.down(3, "a");
  assertEquals(fixture.moved(4, "failover", "b")!.incident.startedAt, START + 3_000);
});

Deno.test("a config that was refused is reported, whoever ordered the reload", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  const event = {
    type: "config.refused",
    by: "SIGHUP",
    errors: ["Unknown key x", "no y"],
  } as const;
  const notice = fixture.event(3, event, "")!;
  assertEquals([notice.kind, notice.service, notice.to], ["config_refused", "", undefined]);
  assertEquals(
    noticeSentence(notice),
    "reload refused, the old config stays in force, ordered by SIGHUP: Unknown key x. no y",
  );
  // It begins no incident.
  assertEquals(fixture.moved(4, "failover", "b")!.incident.startedAt, START + 4_000);
});

Deno.test("a failover and its recovery are reported with cause, duration and counts of clients", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  fixture.counts = { released: 5, lost: 1 };
  fixture.down(10, "a", 4_000);
  fixture.counts = { released: 8, lost: 1 };
  assertObjectMatch(fixture.moved(11, "failover", "b", 900)!, {
    kind: "failover",
    service: "shop",
    from: "a",
    to: "b",
    reason: "failover it is",
    interruptedMs: 900,
    incident: {
      startedAt: START + 6_000,
      reason: "a is down: refused",
      lastedMs: 5_000,
      finished: false,
    },
    clients: { released: 3, lost: 0 },
  });
  assertObjectMatch(fixture.moved(60, "failback", "a")!, {
    kind: "recovery",
    from: "b",
    to: "a",
    incident: { startedAt: START + 6_000, lastedMs: 54_000, finished: true },
  });
  assertEquals(new Set(fixture.reported.map(({ id }) => id)).size, 2);
  // The next incident is a new one.
  fixture.down(70, "a");
  assertEquals(fixture.moved(71, "failover", "b")!.incident.startedAt, START + 70_000);
});

Deno.test("one incident lasts from backup to backup until the primary is back", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  fixture.down(10, "a");
  fixture.moved(11, "failover", "b");
  fixture.down(20, "b");
  const second = fixture.moved(21, "failover", "c")!;
  const better = fixture.moved(30, "failback", "b")!;
  const last = fixture.moved(40, "switchover", "a")!;
  assertEquals([second, better, last].map((n) => [n.kind, n.incident.finished]), [
    ["failover", false],
    ["recovery", false],
    ["recovery", true],
  ]);
  assertEquals(last.incident.startedAt, START + 10_000);
});

Deno.test("an outage is reported once, after the second round without an upstream, and its end is a recovery", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  fixture.down(10, "a");
  assertEquals(fixture.selectionFailed(11, 1), undefined);
  assertObjectMatch(fixture.selectionFailed(13, 2)!, {
    kind: "outage",
    from: "a",
    reason: "no upstream is usable (a: refused)",
    interruptedMs: 3_000,
  });
  assertEquals(fixture.selectionFailed(17, 3), undefined);
  assertObjectMatch(fixture.moved(20, "failover", "a", 10_000)!, { kind: "recovery", to: "a" });
  assertEquals(fixture.reported.length, 2);
});

Deno.test("a second outage within an incident is reported, too", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "b");
  for (const second of [10, 20]) {
    fixture.down(second, "b");
    fixture.selectionFailed(second, 1);
    fixture.selectionFailed(second + 1, 2);
    fixture.moved(second + 2, "failover", "b");
  }
  const kinds = ["failover", "outage", "recovery", "outage", "recovery"];
  assertEquals(fixture.reported.map(({ kind }) => kind), kinds);
});

Deno.test("a start on a backup is an incident, and so is a start without a usable upstream", () => {
  const backup = new Fixture();
  assertObjectMatch(backup.moved(0, "start", "b")!, { kind: "failover", to: "b" });
  const noUpstream = new Fixture();
  noUpstream.selectionFailed(0, 1);
  noUpstream.selectionFailed(1, 2);
  noUpstream.moved(9, "start", "a", 9_000);
  assertEquals(noUpstream.reported.map(({ kind }) => kind), ["outage", "recovery"]);
});

Deno.test("events of the process and of unknown services are not about incidents", () => {
  const fixture = new Fixture();
  fixture.event(0, { type: "upstream.down", upstream: "a", reason: "x", failingMs: 0 }, "");
  fixture.event(0, { type: "proxy.stopped", cutSessions: 0 });
  assertEquals(fixture.reported, []);
});

Deno.test("a notice reads as a sentence", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  fixture.down(10, "a", 1_000);
  fixture.counts = { released: 2, retried: 1, lost: 0 };
  assertEquals(
    noticeSentence(fixture.moved(11, "failover", "b", 900)!),
    "[shop] failover from a to b: failover it is. clients found no upstream for 900ms, 2 released, 1 retried, 0 lost.",
  );
  assertEquals(
    noticeSentence(fixture.moved(69, "failback", "a", 0)!),
    "[shop] recovery from b to a: failback it is. clients found no upstream for 0s, " +
      "the incident (a is down: refused) lasted 1m, 2 released, 1 retried, 0 lost.",
  );
});

Deno.test("a failed trigger is reported with its promotion, or separately if it failed later", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  fixture.down(1, "a");
  const reported = fixture.event(2, {
    ...{ type: "promotion.finished", move: "failover", id: "x", epoch: 2, to: "b", tookMs: 5 },
    reason: "a is down",
    triggersFailed: "trigger ./promote exited with 1",
  } as Event)!;
  assertEquals(
    reported.reason,
    "a is down (serving, trigger failed: trigger ./promote exited with 1)",
  );
  const later = fixture.event(3, {
    type: "promotion.flawed",
    to: "b",
    epoch: 2,
    reason: "trigger ./promote exited with 1",
  })!;
  assertObjectMatch(later, { kind: "trigger_failed", to: "b", incident: { finished: false } });
  assertEquals(
    noticeSentence(later),
    "[shop] serving b, trigger failed: trigger ./promote exited with 1. " +
      "clients found no upstream for 0s.",
  );
});

Deno.test("a service that continues on a backup after a restart is an incident, but is not reported", () => {
  const fixture = new Fixture();
  const continued = (second: number, upstream: string) =>
    fixture.event(second, {
      type: "service.continued",
      ...{ upstream, epoch: 4, reason: "it served before the restart", tookMs: 100 },
    });
  assertEquals(continued(1, "b"), undefined);
  assertObjectMatch(fixture.moved(60, "failback", "a", 0)!, { kind: "recovery", from: "b" });
  const outage = new Fixture();
  outage.selectionFailed(0, 1);
  outage.selectionFailed(1, 2);
  const notice = outage.event(9, {
    type: "service.continued",
    ...{ upstream: "b", epoch: 4, reason: "it served before the restart", tookMs: 9_000 },
  })!;
  assertObjectMatch(notice, { kind: "recovery", to: "b", incident: { finished: false } });
});

Deno.test("a second server that takes writes is reported, and another bar is not", () => {
  const fixture = new Fixture();
  fixture.moved(0, "start", "a");
  const barred = (kind: string, reason: string) =>
    fixture.event(5, { type: "upstream.barred", upstream: "b", kind, reason });
  assertEquals(barred("lag", "it is 20MB behind"), undefined);
  const notice = barred("stale", "it takes writes, but a was chosen last: stale primary")!;
  assertObjectMatch(notice, { kind: "stale_primary", to: "a", incident: { finished: true } });
  assertEquals(
    noticeSentence(notice).startsWith(
      "[shop] a serves, and another server takes writes: b: it takes writes, but a was chosen last",
    ),
    true,
  );
});

Deno.test("a coordinator that is lost is reported once, until it was reached again", () => {
  const fixture = new Fixture();
  const tell = (second: number, type: "coordinator.lost" | "coordinator.reached") =>
    type === "coordinator.lost"
      ? fixture.event(second, { type, reason: "no answer in time" })
      : fixture.event(second, { type, lostMs: 1_000 });
  const followed = { to: "a", epoch: 1, move: "start", by: "p1", reason: "it works" } as const;
  fixture.event(0, { type: "decision.followed", ...followed, tookMs: 5 });
  const notice = tell(5, "coordinator.lost")!;
  assertObjectMatch(notice, { kind: "coordinator_lost", to: "a", incident: { finished: true } });
  assert(
    noticeSentence(notice).startsWith(
      "[shop] a serves on, and NOTHING IS PROMOTED, etcd cannot be used: no answer in time.",
    ),
  );
  assertEquals(tell(6, "coordinator.lost"), undefined);
  assertEquals(tell(7, "coordinator.reached"), undefined);
  assert(tell(8, "coordinator.lost") !== undefined);
});

Deno.test("what another proxy has decided counts for later notices, and is told by that one", () => {
  const fixture = new Fixture();
  const followed = (second: number, to: string) =>
    fixture.event(second, {
      type: "decision.followed",
      ...{ to, epoch: 1, move: "failover", by: "p1", reason: "a is down", tookMs: 5 } as const,
    });
  assertEquals([followed(0, "a"), followed(60, "b")], [undefined, undefined]);
  assertObjectMatch(fixture.moved(120, "failback", "a")!, { kind: "recovery", from: "b", to: "a" });
});
