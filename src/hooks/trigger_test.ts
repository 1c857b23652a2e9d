import { assert, assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import type { Promotion } from "../failover/ports.ts";
import { Programs } from "./program.ts";
import { LineCollector, OpenForWriting, ProgramFolder } from "./testing/program.ts";
import { ProgramTriggers } from "./trigger.ts";

const promotion: Promotion = {
  move: "failover",
  id: "id-1",
  epoch: 7,
  from: "a:1",
  to: "b:2",
  reason: "a:1 is down: connection refused",
};
const never = new AbortController().signal;

/** A directory of triggers, and one line for each event of its runs. */
class Fixture implements AsyncDisposable {
  readonly output = new LineCollector();
  readonly triggers: ProgramTriggers;
  /** It does not move by itself, so that a run ends with its program and with all of its output only. */
  readonly clock = new ManualClock();
  readonly #programs = new Programs(this.clock);

  private constructor(
    readonly folder: ProgramFolder,
    timeoutMs: number,
    goOn: boolean,
    leftMs: number,
  ) {
    const settings = {
      ...{ path: folder.path, timeoutMs, service: "db", goOn, warnings: [] },
      guard: () => Promise.resolve({ leftMs: () => leftMs }),
    };
    const publish = (event: Event) => this.output.add(this.#line(event));
    this.triggers = new ProgramTriggers(settings, this.#programs, publish);
  }

  static async begin(timeoutMs = 0, goOn = true, leftMs = 60_000): Promise<Fixture> {
    return new Fixture(await ProgramFolder.make(), timeoutMs, goOn, leftMs);
  }

  #line(event: Event): string {
    const name = (path: string) => path.replace(this.folder.path, "").replace("/", "");
    switch (event.type) {
      case "trigger.started":
        return `started ${name(event.program)} ${event.epoch}`;
      case "trigger.finished":
        return `finished ${name(event.program)} ${event.epoch}`;
      case "trigger.failed":
        return `failed ${name(event.program)} ${event.epoch} ${event.reason}`;
      case "program.said":
        return `said ${name(event.program)} ${event.upstream} ${event.line}`;
      case "config.warned":
        return `warned ${name(event.warning)}`;
      default:
        throw new Error(`unexpected ${event.type}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#programs[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

Deno.test("a trigger gets all facts of a promotion", async () => {
  await using fixture = await Fixture.begin();
  // Other test files of this process set FAILOVER_CONTROL for the proxies that they start.
  const facts = "env | grep ^FAILOVER_ | grep -v ^FAILOVER_CONTROL= | LC_ALL=C sort";
  await fixture.folder.script("one", `echo "$#|$1"; ${facts}`);
  await fixture.triggers.run({ ...promotion, fence: 41 }, never);
  assertEquals(fixture.output.lines, [
    "started one 7",
    "said one b:2 1|b:2",
    "said one b:2 FAILOVER_EPOCH=7",
    "said one b:2 FAILOVER_EVENT=failover",
    "said one b:2 FAILOVER_EVENT_ID=id-1",
    "said one b:2 FAILOVER_FENCE=41",
    "said one b:2 FAILOVER_FROM=a:1",
    "said one b:2 FAILOVER_REASON=a:1 is down: connection refused",
    "said one b:2 FAILOVER_SERVICE=db",
    "said one b:2 FAILOVER_TO=b:2",
    "finished one 7",
  ]);
});

Deno.test("triggers run in the order of their names, and a failing one does not stop the next", async () => {
  await using fixture = await Fixture.begin();
  await fixture.folder.script("2", 'test -z "$FAILOVER_FROM"');
  await fixture.folder.script("1", "exit 3");
  await fixture.folder.write("3", "#!/no/such/shell\n");
  await fixture.folder.script("4", "kill -9 $$");
  await fixture.folder.script("5", "exit 0");
  await fixture.triggers.run({ ...promotion, from: undefined }, never);
  assertEquals(fixture.output.lines, [
    'warned 3: names an interpreter that is missing: "/no/such/shell"; it will not run',
    ...["started 1 7", "failed 1 7 exited with 3"],
    ...["started 2 7", "finished 2 7"],
    ...["started 4 7", "failed 4 7 was ended by SIGKILL"],
    ...["started 5 7", "finished 5 7"],
  ]);
});

Deno.test("a trigger past its deadline fails and the next one runs", async () => {
  await using fixture = await Fixture.begin(100);
  await fixture.folder.script("1", "echo up; sleep 1000");
  await fixture.folder.script("2", "exit 0");
  const running = fixture.triggers.run(promotion, never);
  await fixture.output.first("said 1 b:2 up");
  await fixture.clock.advance(100);
  await running;
  assertEquals(fixture.output.lines, [
    ...["started 1 7", "said 1 b:2 up", "failed 1 7 did not end within 100ms"],
    ...["started 2 7", "finished 2 7"],
  ]);
});

Deno.test("cancelling triggers ends the running one and skips the rest", async () => {
  await using fixture = await Fixture.begin();
  await fixture.folder.script("1", "echo up; sleep 1000");
  await fixture.folder.script("2", "exit 0");
  const stop = new AbortController();
  const running = fixture.triggers.run(promotion, stop.signal);
  await fixture.output.first("said 1 b:2 up");
  stop.abort();
  await running;
  assertEquals(fixture.output.lines.slice(2), ["failed 1 7 was cancelled"]);
});

Deno.test("a run reports that all triggers ran, which one failed, or that it was aborted", async () => {
  await using fixture = await Fixture.begin();
  assertEquals(await fixture.triggers.run(promotion, never), { how: "ran" });
  const failing = await fixture.folder.script("1", "exit 3");
  await fixture.folder.script("2", "exit 0");
  await fixture.folder.script("3", "kill -9 $$");
  const last = `trigger ${fixture.folder.path}/3 was ended by SIGKILL`;
  assertEquals(await fixture.triggers.run({ ...promotion, epoch: 8 }, never), {
    how: "failed",
    reason: `trigger ${failing} exited with 3; ${last}`,
  });
  const stopped = AbortSignal.abort();
  assertEquals(await fixture.triggers.run({ ...promotion, epoch: 9 }, stopped), {
    how: "cancelled",
  });
});

Deno.test("a trigger that its guard has ended is called off, and none after it runs, whatever a failure means", async () => {
  for (const goOn of [true, false]) {
    await using fixture = await Fixture.begin(0, goOn, 900);
    const first = await fixture.folder.script("1", "sleep 1000");
    await fixture.folder.script("2", "exit 0");
    const why = "was called off: the lease of this proxy may have ended";
    assertEquals(await fixture.triggers.run({ ...promotion, fence: 41 }, never), {
      how: "calledOff",
      reason: `trigger ${first} ${why}`,
    });
    assertEquals(fixture.output.lines, ["started 1 7", `failed 1 7 ${why}`]);
  }
});

Deno.test("where a failure counts, later triggers wait, and a retry begins with the failed one", async () => {
  await using fixture = await Fixture.begin(0, false);
  await fixture.folder.script("1", "exit 0");
  await fixture.folder.script("2", 'test -e "$0~" || { : >"$0~"; exit 1; }');
  await fixture.folder.script("3", "exit 0");
  assertEquals((await fixture.triggers.run(promotion, never)).how, "failed");
  assertEquals(await fixture.triggers.run(promotion, never), { how: "ran" });
  const runs = fixture.output.lines.filter((line) => !line.startsWith("warned"));
  assertEquals(runs, [
    ...["started 1 7", "finished 1 7", "started 2 7", "failed 2 7 exited with 1"],
    ...["started 2 7", "finished 2 7", "started 3 7", "finished 3 7"],
  ]);
});

Deno.test({
  name: "a trigger that cannot be started at the moment has not failed, and the next call runs it",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using fixture = await Fixture.begin();
    await fixture.folder.script("0", "exit 1");
    await fixture.folder.script("1", "exit 0");
    const busy = await fixture.folder.script("2", "exit 0");
    await fixture.folder.script("3", "exit 0");
    // A program that is open for writing cannot be executed (ETXTBSY).
    {
      await using _writer = await OpenForWriting.begin(busy);
      assertEquals(await fixture.triggers.run(promotion, never), {
        how: "short",
        reason: `trigger ${busy} could not be started: Text file busy`,
        hasBegun: true,
      });
    }
    assertEquals((await fixture.triggers.run(promotion, never)).how, "failed");
    assertEquals(fixture.output.lines, [
      ...["started 0 7", "failed 0 7 exited with 1"],
      ...["started 1 7", "finished 1 7", "started 2 7"],
      ...["started 2 7", "finished 2 7", "started 3 7", "finished 3 7"],
    ]);
  },
});

Deno.test("triggers of two promotions never overlap", async () => {
  await using fixture = await Fixture.begin();
  const go = await fixture.folder.fifo(".go");
  await fixture.folder.script("1", 'echo up; read line <"$(dirname "$0")/.go"');
  const first = fixture.triggers.run(promotion, never);
  const second = fixture.triggers.run({ ...promotion, epoch: 8 }, never);
  await fixture.output.first("said 1 b:2 up");
  await Deno.writeTextFile(go, "go\n");
  await first;
  await fixture.output.first("started 1 8");
  await Deno.writeTextFile(go, "go\n");
  await second;
  assertEquals(fixture.output.lines, [
    ...["started 1 7", "said 1 b:2 up", "finished 1 7"],
    ...["started 1 8", "said 1 b:2 up", "finished 1 8"],
  ]);
});

Deno.test("a promotion that is cancelled while it waits for another's triggers runs nothing", async () => {
  await using fixture = await Fixture.begin();
  await fixture.folder.script("1", "exit 0");
  const stop = new AbortController();
  const first = fixture.triggers.run(promotion, never);
  const second = fixture.triggers.run({ ...promotion, epoch: 8 }, stop.signal);
  stop.abort();
  await Promise.all([first, second]);
  assertEquals(fixture.output.lines, ["started 1 7", "finished 1 7"]);
});

Deno.test("a directory of triggers is read again, and its warnings are logged once", async () => {
  await using fixture = await Fixture.begin();
  await fixture.folder.write("plain", "#!/bin/sh\n", 0o644);
  await fixture.triggers.run(promotion, never);
  await fixture.folder.script("late", "exit 0");
  await fixture.triggers.run({ ...promotion, epoch: 8 }, never);
  assertEquals(fixture.output.lines, [
    "warned plain: is not executable (chmod +x it); it will not run",
    "warned : has no program to run",
    ...["started late 8", "finished late 8"],
  ]);
});

Deno.test("a triggers path that is missing is a failed trigger, not a failed promotion", async () => {
  await using fixture = await Fixture.begin();
  const settings = {
    path: `${fixture.folder.path}/gone`,
    timeoutMs: 0,
    service: "db",
    goOn: true,
    warnings: [],
  };
  await using programs = new Programs(fixture.clock);
  const events: Event[] = [];
  const triggers = new ProgramTriggers(settings, programs, (event) => events.push(event));
  await triggers.run(promotion, never);
  const { path: program } = settings;
  const reason = `${program}: no such file`;
  assertEquals(events, [{ type: "trigger.failed", program, epoch: 7, reason, tookMs: 0 }]);
});

Deno.test("a trigger that disappears between search and start has failed, and the next one runs", async () => {
  await using fixture = await Fixture.begin();
  const next = await fixture.folder.script("2", "exit 0");
  await fixture.folder.script("1", `rm '${next}'`);
  await fixture.folder.script("3", "exit 0");
  const outcome = await fixture.triggers.run(promotion, never);
  const why = "could not be started: it, or the interpreter it names, is missing";
  assertEquals(outcome, { how: "failed", reason: `trigger ${next} ${why}` });
  assertEquals(fixture.output.lines, [
    ...["started 1 7", "finished 1 7", "started 2 7", `failed 2 7 ${why}`],
    ...["started 3 7", "finished 3 7"],
  ]);
});

Deno.test("a trigger that is gone before its shell opens it has failed, and the reason says so", async () => {
  await using fixture = await Fixture.begin(0, false);
  const remover = await fixture.folder.script(".remover", 'rm "$1"; exec /bin/sh "$@"');
  const gone = await fixture.folder.write("1", `#!${remover}\nexit 0\n`);
  const outcome = await fixture.triggers.run(promotion, never);
  assert(outcome.how === "failed");
  const why = /exited with (2|127), and its file was removed meanwhile$/;
  assertMatch(outcome.reason, why);
  assertMatch(fixture.output.lines.at(-1)!, /^failed 1 7 exited/);
  // It has not run, so it runs again when its file is back.
  await fixture.folder.script("1", "exit 0");
  assertEquals(await fixture.triggers.run(promotion, never), { how: "ran" });
  assertEquals(fixture.output.lines.slice(-2), ["started 1 7", "finished 1 7"]);
  assert(gone.endsWith("/1"));
});
