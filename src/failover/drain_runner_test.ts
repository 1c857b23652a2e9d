import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import { DrainRunner } from "./drain_runner.ts";
import type { DrainOrder } from "./ports.ts";

interface Session {
  readonly name: string;
  readonly upstream: string;
  readonly epoch: number;
  movedAt: number;
}

const SOFT: DrainOrder = {
  upstream: "db",
  throughEpoch: 1,
  graceMs: 100,
  sparedIfMovedMs: 1_000,
  revocable: true,
  reason: "silent",
};
const HARD: DrainOrder = {
  ...SOFT,
  sparedIfMovedMs: undefined,
  revocable: false,
  reason: "refused",
};

/** A data plane with sessions in a list and a clock that the test moves. */
class Plane {
  readonly clock = new ManualClock();
  readonly sessions = new Set<Session>();
  readonly events: Event[] = [];
  cut = 0;
  readonly drains = new DrainRunner<Session>({
    concerned: ({ upstream, throughEpoch }) =>
      [...this.sessions].filter((session) =>
        session.upstream === upstream && session.epoch <= throughEpoch
      ),
    hasMoved: ({ movedAt }, ms) => this.clock.now() - movedAt < ms,
    cut: (session) => this.sessions.delete(session),
    after: (ms, run) => this.clock.after(ms, run),
    countCut: (count) => this.cut += count,
    publish: (event) => this.events.push(event),
  });

  add(name: string, upstream = "db", epoch = 1): Session {
    const session = { name, upstream, epoch, movedAt: this.clock.now() };
    this.sessions.add(session);
    return session;
  }

  get names(): string[] {
    return [...this.sessions].map(({ name }) => name);
  }

  /** The counts in each event: sessions cut, sessions kept. */
  get reported(): number[][] {
    return this.events.map((event) =>
      event.type === "sessions.cut" ? [event.count, event.kept] : []
    );
  }
}

Deno.test("sessions of the upstream, of this decision or an older one, are cut after their grace", async () => {
  const plane = new Plane();
  plane.add("old", "db", 0);
  plane.add("same");
  plane.add("newer", "db", 2);
  plane.add("elsewhere", "other");
  plane.drains.begin(HARD);
  assertEquals(plane.drains.orders, [HARD]);
  await plane.clock.advance(99);
  assertEquals(plane.names.length, 4);
  await plane.clock.advance(1);
  assertEquals(plane.names, ["newer", "elsewhere"]);
  assertEquals([plane.reported, plane.cut, plane.drains.size], [[[2, 0]], 2, 0]);
});

Deno.test("on soft evidence a session that moves is spared, examined again, and cut when it is silent", async () => {
  const plane = new Plane();
  plane.add("silent").movedAt = -5_000;
  const busy = plane.add("busy");
  plane.drains.begin({ ...SOFT, graceMs: 0 });
  assertEquals([plane.names, plane.reported], [["busy"], [[1, 1]]]);
  await plane.clock.advance(900);
  busy.movedAt = plane.clock.now();
  await plane.clock.advance(100);
  assertEquals([plane.names, plane.reported.length], [["busy"], 1]); // an event with the same counts is not repeated
  await plane.clock.advance(1_000);
  assertEquals([plane.names, plane.reported], [[], [[1, 1], [1, 0]]]);
  assertEquals([plane.cut, plane.drains.size], [2, 0]);
});

Deno.test("a drain that may be revoked is cancelled, any other is not", async () => {
  const plane = new Plane();
  plane.add("one");
  plane.drains.begin({ ...HARD, revocable: true });
  plane.drains.spare("db");
  await plane.clock.advance(1_000);
  assertEquals([plane.names, plane.drains.size], [["one"], 0]);
  plane.drains.begin(HARD);
  plane.drains.spare("db");
  await plane.clock.advance(100);
  assertEquals(plane.names, []);
});

Deno.test("an order on hard evidence is carried out at once when another replaces it", () => {
  const plane = new Plane();
  plane.add("one");
  plane.add("later", "db", 2);
  plane.drains.begin(HARD);
  plane.drains.begin({ ...SOFT, throughEpoch: 2 });
  assertEquals([plane.names, plane.drains.size], [["later"], 1]);
});

Deno.test("an order on soft evidence is replaced by another, whose grace applies", async () => {
  const plane = new Plane();
  plane.add("one");
  plane.drains.begin(SOFT);
  await plane.clock.advance(50);
  plane.drains.begin({ ...HARD, graceMs: 100 });
  await plane.clock.advance(99);
  assertEquals(plane.names, ["one"]);
  await plane.clock.advance(1);
  assertEquals(plane.names, []);
});

Deno.test("nothing is cut after the drains are closed", async () => {
  const plane = new Plane();
  plane.add("one");
  plane.drains.begin(HARD);
  plane.drains.close();
  await plane.clock.advance(10_000);
  assertEquals([plane.names, plane.reported], [["one"], []]);
});
