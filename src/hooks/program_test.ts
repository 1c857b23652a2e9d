import { assert, assertEquals, assertLess } from "@std/assert";
import { type Clock, ManualClock, realClock } from "../base/clock.ts";
import { DISCARDED_AT_ONCE, LINE_COST, LINE_MAX, OUTPUT_MAX, PAUSE_MS } from "./output.ts";
import { type Ending, KILL_GRACE_MS, Programs, type Run } from "./program.ts";
import type { Report } from "../../tests/harness/short_of_program.ts";
import { LineCollector, OpenForWriting, ProgramFolder } from "./testing/program.ts";

/** One run of a shell script, and the lines that it printed. */
class Fixture implements AsyncDisposable {
  readonly output = new LineCollector();
  readonly stop = new AbortController();
  readonly programs: Programs;
  #scripts = 0;

  private constructor(readonly folder: ProgramFolder, clock: Clock, now?: AbortSignal) {
    this.programs = new Programs(clock, now);
  }

  /** By default no time passes, so that a run ends with its program and with all of its output only. */
  static async begin(clock: Clock = new ManualClock(), now?: AbortSignal): Promise<Fixture> {
    return new Fixture(await ProgramFolder.make(), clock, now);
  }

  async run(body: string, changes: Partial<Run> = {}): Promise<Ending> {
    const path = await this.folder.script(`script${++this.#scripts}`, body);
    return await this.programs.run({
      path,
      args: [],
      env: {},
      timeoutMs: 0,
      leftovers: "stay",
      signal: this.stop.signal,
      onLine: this.output.add,
      ...changes,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.programs[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** A clock that moves forward at once by each pause that is waited for. */
class WaitingClock extends ManualClock {
  override after(ms: number, callback: () => void): () => void {
    const cancel = super.after(ms, callback);
    if (ms === PAUSE_MS) queueMicrotask(() => this.advance(ms));
    return cancel;
  }
}

Deno.test("a program gets arguments and environment, and its exit code comes back", async () => {
  await using fixture = await Fixture.begin();
  const ending = await fixture.run('echo "$1|$2|$GREETING|${PATH:+path}"; echo bad >&2; exit 3', {
    args: ["a b", "*"],
    env: { GREETING: "hello" },
  });
  assertEquals(ending, { how: "exited", code: 3, tookMs: ending.tookMs, reason: "exited with 3" });
  assertEquals(fixture.output.lines.toSorted(), ["a b|*|hello|path", "bad"]);
  assertEquals(fixture.programs.running, 0);
});

Deno.test("a program that ends by its own signal is reported with that signal", async () => {
  await using fixture = await Fixture.begin();
  const { how, reason, code } = await fixture.run("kill -SEGV $$");
  assertEquals([how, reason, code], ["signalled", "was ended by SIGSEGV", undefined]);
});

Deno.test("a program that is missing, or whose interpreter is, does not start", async () => {
  await using fixture = await Fixture.begin();
  const missing = await fixture.run("", { path: "/no/such/program" });
  assertEquals(missing.how, "notStarted");
  assertEquals(
    missing.reason,
    "could not be started: it, or the interpreter it names, is missing",
  );
  const folder = await fixture.run("", { path: "/" });
  assertEquals(folder.reason, "could not be started: permission denied");
});

Deno.test("a bare name is a file here, not a program of the PATH", async () => {
  await using fixture = await Fixture.begin();
  assertEquals((await fixture.run("", { path: "true" })).how, "notStarted");
});

Deno.test("a program that hangs is ended at its deadline, with its group", async () => {
  const clock = new ManualClock();
  await using fixture = await Fixture.begin(clock);
  const fifo = await fixture.folder.fifo("held");
  const running = fixture.run('exec 3>"$1"; sleep 1000 & echo up >&3; wait', {
    args: [fifo],
    timeoutMs: 5_000,
  });
  const held = await Deno.open(fifo);
  assertEquals(await held.read(new Uint8Array(16)), 3);
  await clock.advance(4_999);
  assertEquals(fixture.programs.running, 1);
  await clock.advance(1);
  const ending = await running;
  assertEquals([ending.how, ending.reason], ["timedOut", "did not end within 5s"]);
  assertEquals(ending.tookMs, 5_000);
  assertEquals(clock.pending, 0);
  assertEquals(await new Response(held.readable).text(), "");
});

Deno.test("a program that ignores SIGTERM is killed after the grace, together with its children", async () => {
  const clock = new ManualClock();
  await using fixture = await Fixture.begin(clock);
  const fifo = await fixture.folder.fifo("held");
  const script = `exec 3>"$1"
    (trap 'echo child asked' TERM; echo child up; while :; do sleep 1000 & wait; done) &
    trap 'echo parent asked' TERM; echo parent up; while :; do wait; done`;
  const running = fixture.run(script, { args: [fifo], timeoutMs: 1_000 });
  const gone = Deno.readTextFile(fifo);
  await Promise.all([fixture.output.first("child up"), fixture.output.first("parent up")]);
  await clock.advance(1_000);
  await Promise.all([fixture.output.first("child asked"), fixture.output.first("parent asked")]);
  await clock.advance(KILL_GRACE_MS - 1);
  assertEquals(fixture.programs.running, 1);
  await clock.advance(1);
  const ending = await running;
  assertEquals([ending.how, ending.reason], ["timedOut", "did not end within 1s"]);
  assertEquals(await gone, "");
});

Deno.test("a child that ignores SIGTERM is killed although its parent obeyed", async () => {
  const clock = new ManualClock();
  await using fixture = await Fixture.begin(clock);
  const fifo = await fixture.folder.fifo("held");
  const script =
    `exec 3>"$1"; (trap 'echo asked' TERM; echo up; while :; do sleep 1000 & wait; done) & wait`;
  const running = fixture.run(script, { args: [fifo], timeoutMs: 1_000 });
  const gone = Deno.readTextFile(fifo);
  await fixture.output.first("up");
  await clock.advance(1_000);
  await fixture.output.first("asked");
  await clock.advance(KILL_GRACE_MS);
  assertEquals((await running).how, "timedOut");
  assertEquals(await gone, "");
});

Deno.test("a program without a deadline may run for any time", async () => {
  const clock = new ManualClock();
  await using fixture = await Fixture.begin(clock);
  const go = await fixture.folder.fifo("go");
  const running = fixture.run('echo up; read line <"$1"', { args: [go], timeoutMs: 0 });
  await fixture.output.first("up");
  await clock.advance(24 * 3_600_000);
  assertEquals(clock.pending, 0);
  await Deno.writeTextFile(go, "go\n");
  assertEquals((await running).code, 0);
});

Deno.test("a program that is cancelled ends with its group", async () => {
  await using fixture = await Fixture.begin();
  const fifo = await fixture.folder.fifo("held");
  const running = fixture.run('exec 3>"$1"; sleep 1000 & echo up; wait', { args: [fifo] });
  const gone = Deno.readTextFile(fifo);
  await fixture.output.first("up");
  fixture.stop.abort();
  const ending = await running;
  assertEquals([ending.how, ending.reason], ["aborted", "was cancelled"]);
  assertEquals(await gone, "");
  assertEquals((await fixture.run("echo never")).how, "aborted");
  assertEquals(fixture.output.lines.includes("never"), false);
});

Deno.test("a job left in the background ends with its program if it may not stay", async () => {
  await using fixture = await Fixture.begin();
  const fifo = await fixture.folder.fifo("held");
  const running = fixture.run('exec 3>"$1"; sleep 1000 & exit 0', {
    args: [fifo],
    leftovers: "end",
  });
  const gone = Deno.readTextFile(fifo);
  assertEquals((await running).code, 0);
  assertEquals(await gone, "");
});

Deno.test("a job left in the background neither delays the end nor is ended", async () => {
  await using fixture = await Fixture.begin(realClock);
  const [go, did] = [await fixture.folder.fifo("go"), await fixture.folder.fifo("did")];
  const ending = await fixture.run('(read line <"$1"; echo "did $line" >"$2") & exit 0', {
    args: [go, did],
    timeoutMs: 600_000,
  });
  assertEquals(ending.code, 0);
  await Deno.writeTextFile(go, "it\n");
  assertEquals(await Deno.readTextFile(did), "did it\n");
});

Deno.test("what is printed just after the exit is still output", async () => {
  await using fixture = await Fixture.begin();
  const ending = await fixture.run("(sleep 0.05; echo last words) & exit 0");
  assertEquals([ending.code, fixture.output.lines], [0, ["last words"]]);
});

/** A clock of a process that does not run while its first timer passes: it is due as soon as it is set. */
class StalledClock extends ManualClock {
  #isStalled = true;

  override after(ms: number, callback: () => void): () => void {
    const cancel = super.after(ms, callback);
    if (this.#isStalled) queueMicrotask(() => this.advance(ms));
    this.#isStalled = false;
    return cancel;
  }
}

Deno.test("a pause of this process after the end of a program does not cost its last words", async () => {
  await using fixture = await Fixture.begin(new StalledClock());
  const ending = await fixture.run("(sleep 0.05; echo last words) & exit 0");
  assertEquals([ending.code, fixture.output.lines], [0, ["last words"]]);
});

Deno.test("output arrives line by line while the program runs", async () => {
  await using fixture = await Fixture.begin();
  const running = fixture.run(
    "printf 'on'; printf 'e\\r\\n\\n  \\ntwo\\n'; sleep 1000; echo never",
  );
  assertEquals(await fixture.output.first("two"), "two");
  assertEquals(fixture.output.lines, ["one", "two"]);
  fixture.stop.abort();
  await running;
});

Deno.test("output without a last line end is not lost", async () => {
  await using fixture = await Fixture.begin();
  await fixture.run("printf 'a\\nlast'; printf oops >&2");
  assertEquals(fixture.output.lines.toSorted(), ["a", "last", "oops"]);
});

Deno.test("a program that prints many short lines is logged up to 64 KB, and a cut is reported once", async () => {
  await using fixture = await Fixture.begin();
  const { code } = await fixture.run("seq 10000 29999; exit 4");
  assertEquals(code, 4);
  const count = fixture.output.lines.length - 1;
  const most = OUTPUT_MAX / LINE_COST;
  assert(count > most * 0.9 && count <= most + 1, `${count} lines`);
  assertEquals(fixture.output.lines, [
    ...Array.from({ length: count }, (_, i) => `${10_000 + i}`),
    "(output cut after 64 KB)",
  ]);
});

Deno.test("a program that prints lines of ordinary length is logged for all of 64 KB", async () => {
  await using fixture = await Fixture.begin();
  const line = "x".repeat(LINE_COST);
  const count = Math.floor(OUTPUT_MAX / (LINE_COST + 1));
  await fixture.run(`yes ${line} | head -n ${count}`);
  assertEquals(fixture.output.lines, Array.from({ length: count }, () => line));
});

Deno.test("a program that prints much is not stalled, and little of it is kept", async () => {
  await using fixture = await Fixture.begin(realClock);
  const ending = await fixture.run(
    "yes $(seq -s, 500) | head -c 3000000; head -c 3000000 /dev/zero >&2; exit 7",
  );
  assertEquals(ending.code, 7);
  const kept = fixture.output.lines.reduce((sum, line) => sum + line.length + 1, 0);
  assertLess(kept, OUTPUT_MAX + LINE_MAX);
  const cuts = fixture.output.lines.filter((line) => line === "(output cut after 64 KB)");
  assertEquals(cuts.length, 1);
});

Deno.test("what a program prints past the limit is read at a limited rate, so that it does not take a whole core", async () => {
  // Only waiting moves the clock, so the duration of the run is the sum of the pauses.
  const clock = new WaitingClock();
  await using fixture = await Fixture.begin(clock);
  const ending = await fixture.run(`head -c ${4 * DISCARDED_AT_ONCE + OUTPUT_MAX} /dev/zero`);
  assertEquals([ending.code, ending.tookMs], [0, 4 * PAUSE_MS]);
});

Deno.test("a program that prints without end is ended in time, also during a pause", async () => {
  const clock = new ManualClock();
  await using fixture = await Fixture.begin(clock);
  const running = fixture.run("exec yes", { timeoutMs: 60_000 });
  await fixture.output.first("(output cut");
  fixture.stop.abort();
  assertEquals((await running).how, "aborted");
  assertEquals(clock.pending, 0);
});

Deno.test("a long line is cut to its beginning", async () => {
  await using fixture = await Fixture.begin();
  await fixture.run("head -c 5000 /dev/zero | tr '\\0' x; echo; echo next");
  assertEquals(fixture.output.lines, ["x".repeat(LINE_MAX) + " …", "next"]);
});

Deno.test("disposing of all programs ends those that run and starts no more", async () => {
  await using fixture = await Fixture.begin();
  const running = [fixture.run("echo up $$; sleep 1000"), fixture.run("echo up $$; sleep 1000")];
  await fixture.output.first("up");
  await fixture.programs[Symbol.asyncDispose]();
  assertEquals((await Promise.all(running)).map(({ how }) => how), ["aborted", "aborted"]);
  assertEquals((await fixture.run("exit 0")).how, "aborted");
  assert(fixture.programs.running === 0);
});

Deno.test("when all must end at once, a program that ignores SIGTERM is killed without its grace", async () => {
  const now = new AbortController();
  // The clock does not move, so only the abort can end the run.
  await using fixture = await Fixture.begin(new ManualClock(), now.signal);
  const stubborn = "trap 'echo asked' TERM; echo up; while :; do sleep 1000 & wait; done";
  const running = fixture.run(stubborn);
  await fixture.output.first("up");
  fixture.stop.abort();
  await fixture.output.first("asked");
  now.abort();
  const { how, reason } = await running;
  assertEquals([how, reason], ["aborted", "was cancelled"]);
  assertEquals((await fixture.run("exit 0")).how, "aborted");
});

Deno.test("the order to end at once is enough without an earlier order to end", async () => {
  const now = new AbortController();
  await using fixture = await Fixture.begin(new ManualClock(), now.signal);
  const running = fixture.run("trap '' TERM; echo up; while :; do sleep 1000 & wait; done");
  await fixture.output.first("up");
  now.abort();
  assertEquals((await running).how, "aborted");
});

Deno.test("a NUL in an argument or the environment does not keep a program from running", async () => {
  await using fixture = await Fixture.begin();
  const ending = await fixture.run('printf "%s|%s\\n" "$1" "$REASON"', {
    args: ["a\0b"],
    env: { REASON: "check exited with 1: \0\0bad" },
  });
  assertEquals([ending.code, fixture.output.lines], [
    0,
    ["a␀b|check exited with 1: ␀␀bad"],
  ]);
});

Deno.test({
  name:
    "a program that is just being written cannot be started now, which is a shortage and no failure",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using fixture = await Fixture.begin();
    const path = await fixture.folder.script("busy", "exit 0");
    {
      await using _writer = await OpenForWriting.begin(path);
      const { how, reason } = await fixture.run("", { path });
      assertEquals([how, reason], ["short", "could not be started: Text file busy"]);
    }
    assertEquals((await fixture.run("", { path })).code, 0);
  },
});

/** The result of a process with an exhausted resource, see `short_of_program.ts`. */
async function shortOf(what: "descriptors" | "processes"): Promise<Report> {
  const program = new URL("../../tests/harness/short_of_program.ts", import.meta.url);
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", program.pathname, what],
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (text === "") throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(text);
}

const isLinux = Deno.build.os === "linux";

Deno.test({
  name:
    "without free descriptors a program reports a shortage, a check gives no verdict, and none leak",
  ignore: !isLinux,
  async fn() {
    const { endings, probe, leftOpen } = await shortOf("descriptors");
    const reason = "could not be started: Too many open files";
    // The number of half open pipes at the failure depends on the number of free descriptors.
    for (const free of [0, 1, 2, 3]) assertEquals(endings[free], { how: "short", reason });
    assertEquals(endings.at(-1), { how: "exited", reason: "exited with 0" });
    assertEquals(new Set(endings.map(({ how }) => how)), new Set(["short", "exited"]));
    assertEquals(probe?.evidence, "no_verdict");
    assertEquals(leftOpen, 0);
  },
});

Deno.test({
  name: "a program reports a shortage when no process can be made",
  ignore: !isLinux,
  async fn() {
    const reason = "could not be started: Resource temporarily unavailable";
    assertEquals((await shortOf("processes")).endings, [{ how: "short", reason }]);
  },
});
