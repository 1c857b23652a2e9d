import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Probe, ProbeResult } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import { Checker, type CheckerSettings } from "./checker.ts";

const PASSED: ProbeResult = { passed: true, tookMs: 1, reason: "connected", evidence: "passed" };
const SILENT: ProbeResult = { passed: false, tookMs: 1, reason: "no answer", evidence: "silent" };
const REFUSED: ProbeResult = { ...SILENT, reason: "refused", evidence: "refused" };
const A: Upstream = { name: "a", rank: 0, address: { kind: "tcp", host: "::1", port: 1 } };
const B: Upstream = { ...A, name: "b", rank: 1 };
const INTERVAL_MS = 2_000;
const DOUBT_MS = 500;
const PROBE_MAX_MS = 9_000;

/** A checker with a manual clock, and probes that resolve when the test answers them. */
class Scene implements AsyncDisposable {
  readonly clock = new ManualClock();
  /** When each probe began, as `name@ms`. */
  readonly asked: string[] = [];
  readonly posted: string[] = [];
  calledOff = 0;
  /** The results of connections beside a check, in order; after the last one `silent`. */
  readonly connections: Promise<ProbeResult>[] = [];
  readonly checker: Checker;
  readonly #open: { readonly name: string; readonly resolve: (result: ProbeResult) => void }[] = [];

  private constructor(settings: Partial<CheckerSettings>, random: () => number) {
    const times = { intervalMs: INTERVAL_MS, doubtMs: DOUBT_MS, probeMaxMs: PROBE_MAX_MS };
    const probe: Probe = (upstream, context, signal) => {
      assertEquals(context, { lastChosen: "b", phase: "serving", epoch: 7 });
      this.asked.push(`${upstream.name}@${this.clock.now()}`);
      return new Promise((resolve) => {
        this.#open.push({ name: upstream.name, resolve });
        signal.addEventListener("abort", () => {
          this.calledOff++;
          resolve({ ...PASSED, reason: "called off" });
        });
      });
    };
    const connection: Probe = (upstream, context, signal) => {
      assertEquals(context, { lastChosen: "b", phase: "serving", epoch: 7 });
      assertEquals(signal.aborted, false);
      this.asked.push(`${upstream.name} beside@${this.clock.now()}`);
      return this.connections.shift() ?? Promise.resolve(SILENT);
    };
    this.checker = new Checker({ upstreams: [A], probe, connection, ...times, ...settings }, {
      clock: this.clock,
      random,
      context: () => ({ lastChosen: "b", phase: "serving", epoch: 7 }),
      stage: () => 0,
      post: (upstream, { reason, overtaken }) => {
        this.posted.push(`${upstream} ${reason}${overtaken ? ", overtaken" : ""}`);
      },
    });
  }

  /** A checker whose first checks have begun. */
  static async begin(settings: Partial<CheckerSettings> = {}, random = () => 0.5): Promise<Scene> {
    const scene = new Scene(settings, random);
    await scene.clock.advance(0);
    return scene;
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
  await using scene = await Scene.begin();
  await scene.clock.advance(300);
  await scene.answer();
  await scene.clock.advance(1_699);
  assertEquals(scene.asked, ["a@0"]);
  await scene.clock.advance(1);
  assertEquals(scene.asked, ["a@0", "a@2000"]);
  assertEquals(scene.posted, ["a connected"]);
});

Deno.test("a checker knows when it asks next, unless it is asking just now", async () => {
  await using scene = await Scene.begin();
  assertEquals(scene.checker.nextAt("a"), undefined);
  await scene.answer();
  assertEquals(scene.checker.nextAt("a"), 2_000);
  scene.checker.pace("a", "doubt");
  assertEquals(scene.checker.nextAt("a"), 500);
  await scene.clock.advance(500);
  assertEquals(scene.checker.nextAt("a"), undefined);
});

Deno.test("a checker checks every upstream, each on its own schedule", async () => {
  await using scene = await Scene.begin({ upstreams: [A, B] });
  assertEquals(scene.asked, ["a@0", "b@0"]);
  await scene.answer();
  await scene.clock.advance(INTERVAL_MS + 100);
  assertEquals(scene.asked, ["a@0", "b@0", "a@2000"]);
  await scene.answer("connected late");
  assertEquals(scene.posted, ["a connected", "b connected late"]);
  assertEquals(scene.asked.at(-1), "b@2100");
});

Deno.test("a checker never asks twice at once: a slow answer delays the next question", async () => {
  await using scene = await Scene.begin();
  await scene.clock.advance(5_000);
  assertEquals([scene.asked, scene.open], [["a@0"], 1]);
  await scene.answer();
  assertEquals(scene.asked, ["a@0", "a@5000"]);
});

Deno.test("the interval differs by five percent each way at most", async () => {
  const draws = [0, 1, 0.5];
  await using scene = await Scene.begin({}, () => draws.shift()!);
  for (const dueAt of [1_900, 4_000, 6_000]) {
    await scene.answer();
    assertEquals(scene.clock.nextAt, dueAt);
    await scene.clock.advance(dueAt - scene.clock.now());
  }
});

Deno.test("doubt brings the pending question forward, and steady puts it back", async () => {
  await using scene = await Scene.begin();
  await scene.answer();
  await scene.clock.advance(100);
  scene.checker.pace("a", "doubt");
  assertEquals(scene.clock.nextAt, DOUBT_MS);
  scene.checker.pace("a", "steady");
  assertEquals([scene.clock.nextAt, scene.clock.pending], [INTERVAL_MS, 1]);
  await scene.clock.advance(1_000);
  scene.checker.pace("a", "doubt");
  await scene.clock.advance(0);
  assertEquals(scene.asked, ["a@0", "a@1100"]);
  await scene.answer();
  assertEquals(scene.clock.nextAt, 1_100 + DOUBT_MS);
});

Deno.test("doubt never slows a checker whose interval is shorter", async () => {
  await using scene = await Scene.begin({ intervalMs: 200 });
  scene.checker.pace("a", "doubt");
  await scene.answer();
  assertEquals(scene.clock.nextAt, 200);
});

Deno.test("a checker that is ordered to check now while it is idle does so at once, and counts again from there", async () => {
  await using scene = await Scene.begin();
  await scene.answer();
  await scene.clock.advance(700);
  scene.checker.now("a");
  await scene.clock.advance(0);
  assertEquals(scene.asked, ["a@0", "a@700"]);
  await scene.answer();
  assertEquals([scene.clock.nextAt, scene.clock.pending], [2_700, 1]);
});

Deno.test("a checker that is ordered to check now during a check makes exactly one more", async () => {
  await using scene = await Scene.begin();
  await scene.clock.advance(400);
  for (let n = 0; n < 3; n++) scene.checker.now("a");
  await scene.clock.advance(0);
  assertEquals(scene.asked, ["a@0", "a beside@400"]);
  await scene.answer("first");
  assertEquals(scene.asked, ["a@0", "a beside@400", "a@400"]);
  assertEquals(scene.posted, ["a first, overtaken"]);
  await scene.answer("second");
  assertEquals([scene.open, scene.clock.nextAt], [0, 2_400]);
});

Deno.test("a connection that is turned away during a slow check is the result", async () => {
  await using scene = await Scene.begin();
  scene.connections.push(Promise.resolve(REFUSED));
  await scene.clock.advance(400);
  scene.checker.now("a");
  await scene.clock.advance(0);
  assertEquals(scene.posted, ["a refused"]);
  assertEquals([scene.calledOff, scene.clock.nextAt], [1, INTERVAL_MS]);
});

Deno.test("a connection that passes, is silent or proves nothing leaves the result to the check", async () => {
  for (const evidence of ["passed", "silent", "denied", "no_verdict"] as const) {
    await using scene = await Scene.begin();
    scene.connections.push(Promise.resolve({ ...SILENT, evidence }));
    scene.checker.now("a");
    await scene.clock.advance(1_000);
    assertEquals([scene.posted, scene.calledOff, scene.open], [[], 0, 1]);
    await scene.answer();
    assertEquals(scene.posted, ["a connected, overtaken"]);
  }
});

Deno.test("a connection that is turned away after the check has ended does not count", async () => {
  await using scene = await Scene.begin();
  const late = Promise.withResolvers<ProbeResult>();
  scene.connections.push(late.promise);
  scene.checker.now("a");
  await scene.answer("first");
  late.resolve(REFUSED);
  await scene.answer("second");
  assertEquals(scene.posted, ["a first, overtaken", "a second"]);
});

Deno.test("a connection that is asked for beside a check and throws is a bug that is reported", async () => {
  const scene = await Scene.begin();
  scene.connections.push(Promise.reject(new Error("a bug")));
  scene.checker.now("a");
  await assertRejects(() => scene.checker.finished, Error, "a bug");
});

Deno.test("a probe that never answers counts as silent after the outer deadline", async () => {
  const scene = await Scene.begin({ probe: () => new Promise(() => {}) });
  await scene.clock.advance(PROBE_MAX_MS - 1);
  assertEquals(scene.posted, []);
  await scene.clock.advance(1);
  assertEquals(scene.posted, ["a no answer from the check within 9s"]);
  const ending = scene[Symbol.asyncDispose]();
  await scene.clock.advance(PROBE_MAX_MS);
  await ending;
  assertEquals(scene.posted.length, 1);
});

Deno.test("an overdue probe is aborted, and its late result is ignored", async () => {
  await using scene = await Scene.begin();
  await scene.clock.advance(PROBE_MAX_MS);
  assertEquals(scene.posted, ["a no answer from the check within 9s"]);
  assertEquals([scene.asked, scene.calledOff], [["a@0", "a@9000"], 1]);
});

Deno.test("disposing of a checker calls the probe off and posts nothing more", async () => {
  const scene = await Scene.begin();
  assertEquals(scene.open, 1);
  await scene[Symbol.asyncDispose]();
  await scene.checker.finished;
  assertEquals(scene.posted, []);
});

Deno.test("a checker whose probe throws ends with that error", async () => {
  const scene = await Scene.begin({ probe: () => Promise.reject(new Error("a bug")) });
  await assertRejects(() => scene.checker.finished, Error, "a bug");
  assertEquals(scene.clock.pending, 0);
});

Deno.test("a checker asked about an upstream it does not know fails loudly", async () => {
  await using scene = await Scene.begin();
  assertThrows(() => scene.checker.now("z"), Error, 'No upstream is named "z"');
});
