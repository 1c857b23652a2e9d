/** Runs the program in its arguments under a guard that lasts so many milliseconds, and is never renewed. */
import { realClock } from "../../src/base/clock.ts";
import { NEVER_ABORTED } from "../../src/base/deadline.ts";
import { Programs } from "../../src/hooks/program.ts";

const [leftMs, path, ...args] = Deno.args;
const until = realClock.now() + Number(leftMs);
await using programs = new Programs(realClock);
const ending = await programs.run({
  path: path!,
  args,
  env: {},
  timeoutMs: 0,
  signal: NEVER_ABORTED,
  leftovers: "stay",
  onLine: (line) => console.log(line),
  guard: { leftMs: () => until - realClock.now() },
});
console.log(ending.reason);
