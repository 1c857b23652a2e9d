import { assert, assertEquals } from "@std/assert";
import { cpuTime, peakBytes, readKb, readStat, residentBytes, threadTimes } from "./processes.ts";

const LINUX = Deno.build.os === "linux";

Deno.test("[bench] user and system time are distinguished for every program name", () => {
  const line = "42 (a ) (b) S 7 42 42 0 -1 4194560 500 0 0 0 150 25 0 0 20 0 9 0 100 1 2";
  assertEquals(readStat(line), { name: "a ) (b", parent: 7, user: 1.5, system: 0.25 });
});

Deno.test("[bench] a size is found by the whole name of its field; a zombie has none", () => {
  const text = "Name:\tx\nVmHWM:\t     12 kB\nVmRSS:\t      8 kB\n";
  assertEquals(readKb(text, "VmHWM"), 12_288);
  assertEquals(readKb(text, "RSS"), 0);
});

Deno.test({
  name: "[bench] a process is measured with its descendants, and all its threads",
  ignore: !LINUX,
  async fn() {
    const child = new Deno.Command("sh", {
      args: ["-c", "echo; cat; true"],
      stdin: "piped",
      stdout: "piped",
    })
      .spawn();
    const output = child.stdout.getReader();
    await output.read(); // the shell runs
    try {
      const ids = new Set(threadTimes(Deno.pid).map(({ id }) => id));
      assert(ids.has(`${Deno.pid}/${Deno.pid}`));
      assert(ids.has(`${child.pid}/${child.pid}`), "the child is a descendant of this process");
      assert(residentBytes(Deno.pid) > residentBytes(child.pid));
      assert(peakBytes(child.pid) > 0);
      const { user, system } = cpuTime(Deno.pid);
      assert(user > 0 && system >= 0);
    } finally {
      await child.stdin.close();
      await output.cancel();
      await child.status;
    }
    assertEquals(residentBytes(child.pid), 0);
  },
});
