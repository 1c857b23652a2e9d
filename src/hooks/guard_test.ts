import { assert, assertEquals } from "@std/assert";
import { type Clock, ManualClock, realClock } from "../base/clock.ts";
import { NEVER_ABORTED } from "../base/deadline.ts";
import { Child, isAlive, untilGone } from "../../tests/harness/child.ts";
import { Folder } from "../../tests/harness/folder.ts";
import { withTestDeadline } from "../../tests/harness/test_deadline.ts";
import { isInstalled } from "../../tests/harness/scenario.ts";
import { deadlineOf, GUARDED, GuardLine, uptimeOffset } from "./guard.ts";
import { Programs } from "./program.ts";

const MAIN = new URL("../../tests/harness/guarded_main.ts", import.meta.url).pathname;

/** So long a guarded program may run in these tests, in milliseconds: a busy machine starts it within that time. */
const LEFT_MS = 5_000;

const CALLED_OFF = "was called off: the lease of this proxy may have ended";

/** The function for a guard that lasts that long from its first use, and is not renewed. */
function leftOnce(): () => number {
  let until: number | undefined;
  return () => (until ??= realClock.now() + LEFT_MS) - realClock.now();
}

async function runGuarded(script: string, leftMs: () => number, args: readonly string[] = []) {
  await using folder = await Folder.make();
  const path = await folder.script("program", script);
  await using programs = new Programs(realClock);
  const lines: string[] = [];
  const ending = await programs.run({
    ...{ path, args, env: {}, timeoutMs: 0, signal: NEVER_ABORTED, leftovers: "stay" },
    onLine: (line) => lines.push(line),
    guard: { leftMs },
  });
  return { ending, lines };
}

Deno.test("a guarded program gets its arguments and an empty stdin, and its exit code is passed on", async () => {
  const { ending, lines } = await runGuarded('echo "$#|$1|$2|$(cat)"; exit 3', () => 60_000, [
    ...["a b", "$HOME"],
  ]);
  assertEquals(lines, ["2|a b|$HOME|"]);
  assertEquals([ending.how, ending.code], ["exited", 3]);
});

Deno.test("a guarded program ends at its deadline with its children, and does not start after it", async () => {
  const { ending } = await runGuarded("sleep 100 & sleep 100", leftOnce());
  assertEquals([ending.reason, ending.isCalledOff], [CALLED_OFF, true]);
  const late = await runGuarded("echo ran", () => 0);
  assertEquals([late.ending.reason, late.lines], [CALLED_OFF, []]);
});

Deno.test("a guarded program that ends by itself long before its deadline is not called off", async () => {
  const killed = (await runGuarded("kill -KILL $$", () => 600_000)).ending;
  assertEquals([killed.reason, killed.isCalledOff], ["was ended by SIGKILL", undefined]);
  const failed = (await runGuarded("exit 75", () => 600_000)).ending;
  assertEquals([failed.code, failed.isCalledOff], [75, undefined]);
});

Deno.test("a guard that is renewed lets the program run on", async () => {
  // Longer than the time that is left at the start, which this process may not be able to renew for seconds.
  const { ending, lines } = await runGuarded("sleep 12; echo ran", () => 2 * LEFT_MS);
  assertEquals([ending.code, lines], [0, ["ran"]]);
});

Deno.test("background processes of a guarded program stay when it has ended by itself", async () => {
  const { ending, lines } = await runGuarded(
    `sleep 100 >/dev/null 2>&1 & echo $! ; exit 0`,
    () => LEFT_MS,
  );
  assertEquals(ending.code, 0);
  const pid = lines[0]!;
  // One that began later is ended by its guard, so the time of the first one is over as well.
  const later = await runGuarded("sleep 100", leftOnce());
  assertEquals(later.ending.reason, CALLED_OFF);
  assert(isAlive(pid));
  Deno.kill(Number(pid), "SIGKILL");
});

// The program, the watcher and its timer are three processes, and `sleep` is the fourth.
for (const most of [2, 3, 4, 5]) {
  Deno.test({
    name:
      `a guarded program ends although its guard gets no process beyond the ${most} that there are`,
    ignore: Deno.build.os !== "linux" || Deno.uid() !== 0 || !isInstalled("setpriv") ||
      !isInstalled("prlimit"),
    async fn() {
      // Limits count the processes of a user, so this one has no others.
      const user = 1_000_000 + Math.floor(Math.random() * 1e6);
      const command = new Deno.Command("setpriv", {
        args: [
          ...[`--reuid=${user}`, "--clear-groups", "prlimit", `--nproc=${most}`],
          ...["/bin/sh", ...GUARDED, "+100", "/bin/sleep", "100"],
        ],
        ...{ stdin: "piped", stdout: "null", stderr: "null", detached: true },
      });
      await using child = command.spawn();
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("+150\n")).catch(() => {});
      const { success } = await withTestDeadline("the program to end", child.status);
      assertEquals(success, false);
      await writer.close().catch(() => {});
    },
  });
}

/** Resolves when the guarded program of a proxy that gets this signal has ended. */
async function endsDespite(fault: "SIGSTOP" | "SIGKILL"): Promise<void> {
  await using folder = await Folder.make();
  const path = await folder.script("program", "echo $$; sleep 100");
  const begun = Promise.withResolvers<string>();
  await using proxy = new Child(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", MAIN, String(LEFT_MS), path],
    onOut: (line) => begun.resolve(line),
    onErr: (line) => begun.reject(new Error(line)),
  });
  const pid = await withTestDeadline("the program to begin", begun.promise);
  proxy.signal(fault);
  await untilGone([pid]);
}

Deno.test("a guarded program ends at its deadline although the proxy was stopped, or killed", async () => {
  await Promise.all([endsDespite("SIGSTOP"), endsDespite("SIGKILL")]);
});

Deno.test("deadlineOf() is a time that all processes share, and earlier rather than later", async () => {
  const clock = new ManualClock(5_000);
  const guard = { leftMs: () => 10_009 };
  assertEquals(deadlineOf(guard, clock, undefined), "+1000");
  assertEquals(deadlineOf(guard, clock, 70_000), "8500");
  if (Deno.build.os !== "linux") return;
  const before = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
  const offset = await uptimeOffset(realClock);
  const uptime = (realClock.now() + offset!) / 1_000;
  const after = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
  assert(uptime >= before - 0.02 && uptime <= after + 0.02, `${uptime}: ${before} to ${after}`);
});

Deno.test("uptimeOffset() reads the time of the system also without all permissions", async () => {
  const guard = new URL("./guard.ts", import.meta.url).href;
  const clock = new URL("../base/clock.ts", import.meta.url).href;
  // A clock that stands still, since the answer may take long on a busy machine.
  const code = `import { uptimeOffset } from "${guard}"; import { ManualClock } from "${clock}";
    console.log(await uptimeOffset(new ManualClock()));`;
  await using folder = await Folder.make();
  const lines: string[] = [];
  await using child = new Child(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-read", "--allow-run", await folder.write("m.ts", code)],
    onOut: (line) => lines.push(line),
    onErr: (line) => lines.push(line),
  });
  await withTestDeadline("the time", child.ended);
  assertEquals(lines.length === 1 && Number(lines[0]) > 0, Deno.build.os === "linux", lines[0]);
});

Deno.test("GuardLine writes later deadlines only, and the end", async () => {
  const clock = new ManualClock();
  const lines: string[] = [];
  const stdin = new WritableStream<Uint8Array>({
    write: (bytes) => void lines.push(new TextDecoder().decode(bytes).trim()),
  });
  let until = 1_000;
  const line = new GuardLine(stdin, { leftMs: () => until - clock.now() }, clock, 0);
  await clock.advance(1_000);
  assertEquals(lines.length, 1);
  until = 5_000;
  await clock.advance(300);
  assertEquals(lines.length, 2);
  await line[Symbol.asyncDispose]();
  assertEquals([lines.at(-1), clock.pending], ["over", 0]);
});

Deno.test("GuardLine knows that a deadline may have passed before the watcher heard of a later one", async () => {
  for (const stoodMs of [3_000, 4_500, 6_000]) {
    const timers = new ManualClock();
    let [until, stood] = [5_000, 0];
    const clock: Clock = {
      now: () => timers.now() + stood,
      recent: () => timers.now() + stood,
      wall: () => timers.wall() + stood,
      after: (ms, run) => timers.after(ms, run),
    };
    const guard = { leftMs: () => until - clock.now() };
    const line = new GuardLine(new WritableStream(), guard, clock, 0);
    assertEquals(line.mayHaveEnded, false);
    // The lease is renewed in time, and this process does not run.
    until = 60_000;
    stood = stoodMs;
    await timers.advance(300);
    assertEquals(line.mayHaveEnded, stoodMs > 4_000, `${stoodMs} ms`);
    await line[Symbol.asyncDispose]();
  }
});
