import { assertEquals } from "@std/assert";
import { ProcessLibc } from "../linux/process_libc.ts";
import { BEAT, newThreadMemory, THREAD_ID } from "./memory.ts";
import { ThreadWatchdog } from "./watchdog.ts";

const ignore = Deno.build.os !== "linux";

/** A watchdog of the thread that the test itself runs in. */
function ofThisThread(hangCpuMs: number) {
  const { beats } = newThreadMemory(1);
  const watchdog = new ThreadWatchdog(beats, 0, hangCpuMs);
  using libc = new ProcessLibc();
  const begin = () => beats[THREAD_ID] = libc.threadId();
  begin();
  return { watchdog, beats };
}

/** Uses CPU time. */
function burn(ms: number): void {
  using libc = new ProcessLibc();
  const self = libc.threadId();
  for (const end = libc.cpuMs(self)! + ms; libc.cpuMs(self)! < end;);
}

Deno.test({
  name: "a loop whose tick uses much CPU time hangs, however short the tick was by the clock",
  ignore,
  fn() {
    const { watchdog } = ofThisThread(30);
    using _ = watchdog;
    assertEquals(watchdog.check(0).is, "alive");
    assertEquals(watchdog.check(1).is, "alive");
    burn(40);
    assertEquals(watchdog.check(2), { is: "dead", reason: "its loop hangs" });
    assertEquals(watchdog.check(3).is, "alive");
  },
});

Deno.test({
  name: "a loop that ticks is alive, however much CPU time it uses",
  ignore,
  fn() {
    const { watchdog, beats } = ofThisThread(10);
    using _ = watchdog;
    for (let now = 0; now < 5; now++) {
      assertEquals(watchdog.check(now).is, "alive");
      beats[BEAT]!++;
      burn(15);
    }
  },
});

Deno.test({
  name:
    "a thread that gets no CPU time is starved, which is reported once, and never counts as dead",
  ignore,
  fn() {
    const { watchdog, beats } = ofThisThread(10_000);
    using _ = watchdog;
    assertEquals(watchdog.check(0).is, "alive");
    assertEquals(watchdog.check(9_000).is, "alive");
    assertEquals(watchdog.check(12_000), { is: "starved", forMs: 12_000 });
    assertEquals(watchdog.check(3_600_000).is, "alive");
    beats[BEAT]!++;
    assertEquals(watchdog.check(3_601_000).is, "alive");
    assertEquals(watchdog.check(3_620_000).is, "starved");
  },
});

Deno.test({
  name: "a thread that has ended is dead, and so is one that never starts",
  ignore,
  fn() {
    const { beats } = newThreadMemory(1);
    using watchdog = new ThreadWatchdog(beats, 0, 10_000);
    assertEquals(watchdog.check(0).is, "alive");
    assertEquals(watchdog.check(50_000).is, "starved");
    assertEquals(watchdog.check(61_000), { is: "dead", reason: "it does not start" });
    watchdog.reset();
    beats[THREAD_ID] = 2 ** 22;
    assertEquals(watchdog.check(62_000), { is: "dead", reason: "it ended without a report" });
  },
});
