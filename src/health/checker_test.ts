import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { Checker, type CheckerContext, type CheckerSettings } from "./checker.ts";
import { PASSED, REFUSED, SILENT, upstreamsOf } from "../failover/testing/results.ts";

const [A, B] = upstreamsOf("a", "b") as [Upstream, Upstream];
const INTERVAL_MS = 2_000;
const DOUBT_MS = 500;
const PROBE_MAX_MS = 9_000;

/** A checker with a manual clock, and probes that resolve when the test answers them. */
class Fixture implements AsyncDisposable {
  readonly clock = new ManualClock();
  /** When each probe began, as `name@ms`. */
  readonly asked: string[] = [];
  readonly posted: string[] = [];
  cancelled = 0;
  /** The results of connections beside a check, in order; after the last one `silent`. */
  readonly connections: Promise<ProbeResult>[] = [];
  readonly checker: Checker;
  readonly #settings: CheckerSettings;
  readonly #context: CheckerContext;
  readonly #open: { readonly name: string; readonly resolve: (result: ProbeResult) => void }[] = [];

  private constructor(settings: Partial<CheckerSettings>, random: () => number) {
    const times = { intervalMs: INTERVAL_MS, doubtMs: DOUBT_MS, probeMaxMs: PROBE_MAX_MS };
    const probe: Probe = (upstream, context, signal) => {
      assertEquals(context, { lastChosen: "b", phase: "serving", epoch: 7 });
      this.asked.push(`${upstream.name}@${this.clock.now()}`);
      return new Promise((resolve) => {
        this.#open.push({ name: upstream.name, resolve });
        signal.addEventListener("abort", () => {
          this.cancelled++;
          resolve({ ...PASSED, reason: "cancelled" });
        });
      });
    };
    const connection: Probe = (upstream, context, signal) => {
      assertEquals(context, { lastChosen: "b", phase: "serving", epoch: 7 });
      assertEquals(signal.aborted, false);
      this.asked.push(`${upstream.name} beside@${this.clock.now()}`);
      return this.connections.shift() ?? Promise.resolve(SILENT);
    };
    this.#settings = { upstreams: [A], probe, connection, ...times, ...settings };
    this.#context = {
      clock: this.clock,
      random,
      context: () => ({ lastChosen: "b", phase: "serving", epoch: 7 }),
      stage: () => 0,
      post: (upstream, { reason, overtaken }) => {
        this.posted.push(`${upstream} ${reason}${overtaken ? ", overtaken" : ""}`);
      },
    };
    this.checker = new Checker(this.#settings, this.#context);
  }

  async configure(settings: Partial<CheckerSettings>): Promise<void> {
    this.checker.configure({ ...this.#settings, ...settings }, this.#context);
    await this.clock.advance(0);
  }

  /** A checker whose first checks have begun. */
  static async begin(
    settings: Partial<CheckerSettings> = {},
    random = () => 0.5,
  ): Promise<Fixture> {
    const fixture = new Fixture(settings, random);
    await fixture.clock.advance(0);
    return fixture;
  }

  /** The number of probes under way. */
  get open(): number {
    return this.#open.length;
  }

  /** Answers the oldest probe under way, and lets a check begin that is due. */
  async answer(reason = "connected"): Promise<void> {
    this.#open.shift()!.resolve({ ...PASSED, reason });
    await this.clock.advance(0);
    await this.clock.advance(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.checker[Symbol.asyncDispose]();
    assertEquals(this.clock.pending, 0);
  }
}

Deno.test("a checker checks at once, and then one interval after the last check began", async () => {
  await using fixture = await Fixture.begin();
  await fixture.clock.advance(300);
  await fixture.answer();
  await fixture.clock.advance(1_699);
  assertEquals(fixture.asked, ["a@0"]);
  await fixture.clock.advance(1);
  assertEquals(fixture.asked, ["a@0", "a@2000"]);
  assertEquals(fixture.posted, ["a connected"]);
});

Deno.test("a checker says when its next check begins, unless a check is under way", async () => {
  await using fixture = await Fixture.begin();
  assertEquals(fixture.checker.nextAt("a"), undefined);
  await fixture.answer();
  assertEquals(fixture.checker.nextAt("a"), 2_000);
  fixture.checker.pace("a", "doubt");
  assertEquals(fixture.checker.nextAt("a"), 500);
  await fixture.clock.advance(500);
  assertEquals(fixture.checker.nextAt("a"), undefined);
});

Deno.test("a checker checks every upstream, each on its own schedule", async () => {
  await using fixture = await Fixture.begin({ upstreams: [A, B] });
  assertEquals(fixture.asked, ["a@0", "b@0"]);
  await fixture.answer();
  await fixture.clock.advance(INTERVAL_MS + 100);
  assertEquals(fixture.asked, ["a@0", "b@0", "a@2000"]);
  await fixture.answer("connected late");
  assertEquals(fixture.posted, ["a connected", "b connected late"]);
  assertEquals(fixture.asked.at(-1), "b@2100");
});

Deno.test("a checker never runs two checks of an upstream at once: a slow one delays the next", async () => {
  await using fixture = await Fixture.begin();
  await fixture.clock.advance(5_000);
  assertEquals([fixture.asked, fixture.open], [["a@0"], 1]);
  await fixture.answer();
  assertEquals(fixture.asked, ["a@0", "a@5000"]);
});

Deno.test("the interval differs by five percent each way at most", async () => {
  const draws = [0, 1, 0.5];
  await using fixture = await Fixture.begin({}, () => draws.shift()!);
  for (const dueAt of [1_900, 4_000, 6_000]) {
    await fixture.answer();
    assertEquals(fixture.clock.nextAt, dueAt);
    await fixture.clock.advance(dueAt - fixture.clock.now());
  }
});

Deno.test("doubt makes the next check begin earlier, and steady puts it back", async () => {
  await using fixture = await Fixture.begin();
  await fixture.answer();
  await fixture.clock.advance(100);
  fixture.checker.pace("a", "doubt");
  assertEquals(fixture.clock.nextAt, DOUBT_MS);
  fixture.checker.pace("a", "steady");
  assertEquals([fixture.clock.nextAt, fixture.clock.pending], [INTERVAL_MS, 1]);
  await fixture.clock.advance(1_000);
  fixture.checker.pace("a", "doubt");
  await fixture.clock.advance(0);
  assertEquals(fixture.asked, ["a@0", "a@1100"]);
  await fixture.answer();
  assertEquals(fixture.clock.nextAt, 1_100 + DOUBT_MS);
});

Deno.test("doubt never slows a checker whose interval is shorter", async () => {
  await using fixture = await Fixture.begin({ intervalMs: 200 });
  fixture.checker.pace("a", "doubt");
  await fixture.answer();
  assertEquals(fixture.clock.nextAt, 200);
});

Deno.test("a checker that is ordered to check now while it is idle does so at once, and its interval begins again from there", async () => {
  await using fixture = await Fixture.begin();
  await fixture.answer();
  await fixture.clock.advance(700);
  fixture.checker.now("a");
  await fixture.clock.advance(0);
  assertEquals(fixture.asked, ["a@0", "a@700"]);
  await fixture.answer();
  assertEquals([fixture.clock.nextAt, fixture.clock.pending], [2_700, 1]);
});

Deno.test("a checker that is ordered to check now during a check makes exactly one more", async () => {
  await using fixture = await Fixture.begin();
  await fixture.clock.advance(400);
  for (let n = 0; n < 3; n++) fixture.checker.now("a");
  await fixture.clock.advance(0);
  assertEquals(fixture.asked, ["a@0", "a beside@400"]);
  await fixture.answer("first");
  assertEquals(fixture.asked, ["a@0", "a beside@400", "a@400"]);
  assertEquals(fixture.posted, ["a first, overtaken"]);
  await fixture.answer("second");
  assertEquals([fixture.open, fixture.clock.nextAt], [0, 2_400]);
});

Deno.test("a connection that is refused during a slow check is the result", async () => {
  await using fixture = await Fixture.begin();
  fixture.connections.push(Promise.resolve(REFUSED));
  await fixture.clock.advance(400);
  fixture.checker.now("a");
  await fixture.clock.advance(0);
  assertEquals(fixture.posted, ["a connection refused"]);
  assertEquals([fixture.cancelled, fixture.clock.nextAt], [1, INTERVAL_MS]);
});

Deno.test("a connection that passes, is silent or gives no verdict leaves the result to the check", async () => {
  for (const evidence of ["passed", "silent", "denied", "no_verdict"] as const) {
    await using fixture = await Fixture.begin();
    fixture.connections.push(Promise.resolve({ ...SILENT, evidence }));
    fixture.checker.now("a");
    await fixture.clock.advance(1_000);
    assertEquals([fixture.posted, fixture.cancelled, fixture.open], [[], 0, 1]);
    await fixture.answer();
    assertEquals(fixture.posted, ["a connected, overtaken"]);
  }
});

Deno.test("a connection that is refused after the check has ended does not count", async () => {
  await using fixture = await Fixture.begin();
  const late = Promise.withResolvers<ProbeResult>();
  fixture.connections.push(late.promise);
  fixture.checker.now("a");
  await fixture.answer("first");
  late.resolve(REFUSED);
  await fixture.answer("second");
  assertEquals(fixture.posted, ["a first, overtaken", "a second"]);
});

Deno.test("a connection beside a check that throws is a bug, and is reported", async () => {
  const fixture = await Fixture.begin();
  fixture.connections.push(Promise.reject(new Error("a bug")));
  fixture.checker.now("a");
  await assertRejects(() => fixture.checker.finished, Error, "a bug");
});

Deno.test("a probe that never answers counts as silent after the outer deadline", async () => {
  const fixture = await Fixture.begin({ probe: () => new Promise(() => {}) });
  await fixture.clock.advance(PROBE_MAX_MS - 1);
  assertEquals(fixture.posted, []);
  await fixture.clock.advance(1);
  assertEquals(fixture.posted, ["a no answer from the check within 9s"]);
  const ending = fixture[Symbol.asyncDispose]();
  await fixture.clock.advance(PROBE_MAX_MS);
  await ending;
  assertEquals(fixture.posted.length, 1);
});

Deno.test("an overdue probe is aborted, and its late result is ignored", async () => {
  await using fixture = await Fixture.begin();
  await fixture.clock.advance(PROBE_MAX_MS);
  assertEquals(fixture.posted, ["a no answer from the check within 9s"]);
  assertEquals([fixture.asked, fixture.cancelled], [["a@0", "a@9000"], 1]);
});

Deno.test("disposing of a checker cancels the probe and posts nothing more", async () => {
  const fixture = await Fixture.begin();
  assertEquals(fixture.open, 1);
  await fixture[Symbol.asyncDispose]();
  await fixture.checker.finished;
  assertEquals(fixture.posted, []);
});

Deno.test("a checker whose probe throws ends with that error", async () => {
  const fixture = await Fixture.begin({ probe: () => Promise.reject(new Error("a bug")) });
  await assertRejects(() => fixture.checker.finished, Error, "a bug");
  assertEquals(fixture.clock.pending, 0);
});

Deno.test("an upstream that is new is checked at once, and one that stays when it is due", async () => {
  await using fixture = await Fixture.begin();
  await fixture.answer();
  await fixture.clock.advance(100);
  await fixture.configure({ upstreams: [B, A] });
  assertEquals(fixture.asked, ["a@0", "b@100"]);
  assertEquals(fixture.checker.nextAt("a"), 2_000);
  await fixture.answer();
  assertEquals([fixture.posted, fixture.checker.nextAt("b")], [
    ["a connected", "b connected"],
    2_100,
  ]);
});

Deno.test("of an upstream that was removed nothing is posted, and nobody asks for it", async () => {
  await using fixture = await Fixture.begin({ upstreams: [A, B] });
  await fixture.configure({ upstreams: [B] });
  assertEquals(fixture.cancelled, 1);
  fixture.checker.now("a");
  fixture.checker.pace("a", "doubt");
  await fixture.clock.advance(INTERVAL_MS);
  assertEquals([fixture.posted, fixture.asked], [[], ["a@0", "b@0"]]);
  assertEquals(fixture.checker.nextAt("a"), undefined);
});

Deno.test("another interval holds for the check that is due next", async () => {
  await using fixture = await Fixture.begin();
  await fixture.answer();
  await fixture.configure({ intervalMs: 5_000 });
  assertEquals(fixture.checker.nextAt("a"), 5_000);
  await fixture.configure({ intervalMs: 700 });
  assertEquals(fixture.checker.nextAt("a"), 700);
});

Deno.test("a check that is under way begins anew if it would be another one now", async () => {
  await using fixture = await Fixture.begin();
  await fixture.clock.advance(100);
  await fixture.configure({ probeKey: "other" });
  assertEquals([fixture.asked, fixture.cancelled], [["a@0", "a@100"], 1]);
  assertEquals(fixture.posted, []);
  await fixture.configure({ probeKey: "other", intervalMs: 3_000 });
  assertEquals(fixture.cancelled, 1);
});

Deno.test("another probe is used for the next check", async () => {
  await using fixture = await Fixture.begin();
  await fixture.answer();
  await fixture.configure({ probe: () => Promise.resolve({ ...PASSED, reason: "by another" }) });
  await fixture.clock.advance(INTERVAL_MS);
  assertEquals(fixture.posted, ["a connected", "a by another"]);
});
