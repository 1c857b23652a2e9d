import { assertEquals } from "@std/assert";
import { type Clock, ManualClock, realClock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import type { ProbeContext, ProbeResult } from "../failover/ports.ts";
import { CHECK_LINES_MAX, FAILURES_MAX, scriptProbe } from "./check.ts";
import { type Ending, KILL_GRACE_MS, Programs } from "./program.ts";
import { ProgramFolder } from "./testing/program.ts";

/** A check program in a temporary folder, run as in production. */
class Check implements AsyncDisposable {
  readonly said: string[] = [];
  readonly stop = new AbortController();
  readonly #programs: Programs;
  readonly #ask: (
    name: string,
    context: ProbeContext,
    signal: AbortSignal,
  ) => Promise<ProbeResult>;

  private constructor(readonly folder: ProgramFolder, path: string, clock: Clock) {
    this.#programs = new Programs(clock);
    const publish = (event: Event) => {
      if (event.type !== "program.said") throw new Error(`unexpected ${event.type}`);
      this.said.push(`${event.upstream}: ${event.line}`);
    };
    const settings = { path, timeoutMs: 5_000, service: "db" };
    const probe = scriptProbe(settings, this.#programs, publish);
    this.#ask = (name, context, signal) => {
      const address = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
      return probe({ name, address, rank: 0 }, context, signal);
    };
  }

  /** By default no time passes, so that a run ends with its program and with all of its output only. */
  static async write(body: string, clock: Clock = new ManualClock()): Promise<Check> {
    const folder = await ProgramFolder.make();
    return new Check(folder, await folder.script("check", body), clock);
  }

  ask(
    name = "a:1",
    context: ProbeContext = { lastChosen: "b:2", phase: "serving", epoch: 7 },
    signal = this.stop.signal,
  ): Promise<ProbeResult> {
    return this.#ask(name, context, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#programs[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

Deno.test("a check program gets the upstream and the present state", async () => {
  await using check = await Check.write(
    'echo "$#|$1|$FAILOVER_ACTIVE|$FAILOVER_PHASE|$FAILOVER_EPOCH|$FAILOVER_SERVICE"',
  );
  const result = await check.ask();
  assertEquals(result, { ...result, passed: true, reason: "check passed", evidence: "passed" });
  assertEquals(check.said, ["a:1: 1|a:1|b:2|serving|7|db"]);
});

Deno.test("before the first promotion a check program sees that none is active", async () => {
  await using check = await Check.write('test "${FAILOVER_ACTIVE-unset}" = ""');
  assertEquals(
    (await check.ask("a:1", { lastChosen: undefined, phase: "selecting", epoch: 0 })).passed,
    true,
  );
});

Deno.test("a check program that exits with non-zero denies, with its last line", async () => {
  await using check = await Check.write("echo looking; echo 'in recovery'; exit 3");
  const { passed, reason, evidence } = await check.ask();
  assertEquals([passed, evidence], [false, "denied"]);
  assertEquals(reason, "check exited with 3: in recovery");
});

Deno.test("a check program that dies denies; one that cannot start gives no verdict", async () => {
  await using check = await Check.write("kill -9 $$");
  const died = await check.ask();
  assertEquals([died.evidence, died.reason], ["denied", "check was ended by SIGKILL"]);
  await Deno.remove(`${check.folder.path}/check`);
  const gone = await check.ask();
  assertEquals(gone.evidence, "no_verdict");
  assertEquals(
    gone.reason,
    "check could not be started: it, or the interpreter it names, is missing",
  );
});

for (const code of [1, 2, 126, 127]) {
  Deno.test(`a check program that is gone when it exits with ${code} gives no verdict`, async () => {
    await using check = await Check.write(`echo cannot open; rm "$0"; exit ${code}`);
    const { passed, evidence, reason } = await check.ask();
    assertEquals([passed, evidence], [false, "no_verdict"]);
    assertEquals(
      reason,
      `check exited with ${code}, and its file was removed meanwhile: cannot open`,
    );
  });
}

Deno.test("a shell that finds its check program gone gives no verdict", async () => {
  await using check = await Check.write("");
  // The kernel has started the interpreter, which then finds no file to read, as in a deploy.
  const remover = await check.folder.script("remover", 'rm "$1"; exec /bin/sh "$@"');
  await check.folder.write("check", `#!${remover}\nexit 0\n`);
  const { evidence } = await check.ask();
  assertEquals(evidence, "no_verdict");
  assertEquals((await check.ask()).evidence, "no_verdict");
});

Deno.test("a check program that was replaced or rewritten while it ran gives no verdict", async () => {
  await using check = await Check.write('cp "$0" "$0.new"; mv "$0.new" "$0"; exit 1');
  const replaced = await check.ask();
  assertEquals(replaced.evidence, "no_verdict");
  assertEquals(replaced.reason, "check exited with 1, and its file was replaced meanwhile");
  await check.folder.script("check", 'echo "exit 3" >>"$0"; kill -9 $$');
  const rewritten = await check.ask();
  assertEquals(rewritten.evidence, "no_verdict");
  await check.folder.script("check", 'chmod a-x "$0"; exit 1');
  assertEquals((await check.ask()).evidence, "no_verdict");
});

Deno.test("a check program that passes counts, unless another file has replaced it", async () => {
  await using check = await Check.write('rm "$0"; exit 0');
  assertEquals((await check.ask()).evidence, "passed");
  for (const change of ['cp "$0" "$0.new"; mv "$0.new" "$0"', 'echo "# more" >>"$0"']) {
    await check.folder.script("check", `${change}; exit 0`);
    const { passed, evidence, reason } = await check.ask();
    assertEquals([passed, evidence], [false, "no_verdict"]);
    assertEquals(reason, "check exited with 0, and its file was replaced meanwhile");
  }
});

Deno.test("a check program that hangs is silent", async () => {
  const clock = new ManualClock();
  await using check = await Check.write('read line <"$(dirname "$0")/held"', clock);
  const held = await check.folder.fifo("held");
  const asking = check.ask();
  // The pipe opens when the program reads from it, so the program is running and waits.
  using _ = await Deno.open(held, { write: true });
  await clock.advance(5_000);
  await clock.advance(KILL_GRACE_MS);
  const { passed, reason, evidence } = await asking;
  assertEquals([passed, evidence, reason], [false, "silent", "check did not end within 5s"]);
});

Deno.test("a check that is cancelled fails without evidence and its output is not logged", async () => {
  await using check = await Check.write('echo looking; read line <"$(dirname "$0")/held"');
  const held = await check.folder.fifo("held");
  const asking = check.ask();
  using _ = await Deno.open(held, { write: true });
  check.stop.abort();
  const { passed, reason, evidence } = await asking;
  assertEquals([passed, evidence], [false, "no_verdict"]);
  assertEquals(reason, "check was cancelled: looking");
  assertEquals(check.said, []);
});

Deno.test("the output of a check program is logged only when its answer about an upstream changes", async () => {
  await using check = await Check.write(`
    cd "$(dirname "$0")"; echo x >>"$1.count"
    n=$(($(wc -l <"$1.count"))); echo "answer $n"; test $n -ne 3`);
  for (let n = 0; n < 5; n++) await check.ask("a");
  await check.ask("b");
  assertEquals(check.said, ["a: answer 1", "a: answer 3", "a: answer 4", "b: answer 1"]);
});

Deno.test("the output of a check that goes on failing is logged again when it gives another reason", async () => {
  await using check = await Check.write('cat "$(dirname "$0")/says"; exit 1');
  const says = async (line: string) => {
    await check.folder.write("says", `asking\n${line}\n`);
    await check.ask("a");
  };
  // A reason that differs only in its numbers is not another one, nor is one that was logged before.
  for (const line of ["timeout after 2.1 s", "timeout after 3 s", "stale", "timeout after 4 s"]) {
    await says(line);
  }
  assertEquals(check.said, ["a: asking", "a: timeout after 2.1 s", "a: asking", "a: stale"]);
});

Deno.test("the output of a check that gives another reason each time is logged a limited number of times", async () => {
  await using check = await Check.write('cat "$(dirname "$0")/says"; exit 1');
  for (let n = 1; n <= FAILURES_MAX + 2; n++) {
    await check.folder.write("says", `${"x".repeat(n)}\n`);
    await check.ask("a");
  }
  assertEquals(check.said.length, FAILURES_MAX);
  await check.folder.script("check", "echo fine");
  await check.ask("a");
  await check.folder.script("check", "echo x; exit 1");
  await check.ask("a");
  assertEquals(check.said.slice(FAILURES_MAX), ["a: fine", "a: x"]);
});

Deno.test("of a long output of a check only the beginning is logged, and the last line is the reason", async () => {
  await using check = await Check.write("seq 1 1000; exit 1");
  assertEquals((await check.ask()).reason, "check exited with 1: 1000");
  const quoted = Array.from({ length: CHECK_LINES_MAX }, (_, i) => `a:1: ${i + 1}`);
  assertEquals(check.said, quoted);
});

/** Starts no program; each run ends when the test ends it. */
class FakePrograms extends Programs {
  readonly begun: ((ending: Ending) => void)[] = [];

  override run(): Promise<Ending> {
    return new Promise((resolve) => this.begun.push(resolve));
  }
}

Deno.test("a check waits until the last one for the same upstream has really ended", async () => {
  await using programs = new FakePrograms(realClock);
  const probe = scriptProbe({ path: "/c", timeoutMs: 5_000, service: "db" }, programs, () => {});
  const ask = (name: string) => {
    const address = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
    const context = { lastChosen: undefined, phase: "serving", epoch: 1 } as const;
    return probe({ name, address, rank: 0 }, context, new AbortController().signal);
  };
  const asked = [ask("a:1"), ask("a:1"), ask("b:2")];
  const ending = { how: "exited", code: 0, tookMs: 1, reason: "exited with 0" } as const;
  assertEquals(programs.begun.length, 2);
  programs.begun[0]!({ how: "aborted", tookMs: 1, reason: "was cancelled" });
  assertEquals((await asked[0]!).evidence, "no_verdict");
  assertEquals(programs.begun.length, 3);
  for (const end of programs.begun) end(ending);
  assertEquals((await Promise.all(asked)).map(({ passed }) => passed), [false, true, true]);
});

Deno.test("the last line of more output than is logged is the reason too", async () => {
  await using check = await Check.write("seq 1 30000; echo 'in recovery'; exit 3");
  assertEquals((await check.ask()).reason, "check exited with 3: in recovery");
});
