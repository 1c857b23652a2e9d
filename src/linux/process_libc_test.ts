import { assert, assertEquals } from "@std/assert";
import { ProcessLibc } from "./process_libc.ts";

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "a thread of this process has a number and a CPU time, and one that is gone has none",
  ignore,
  fn() {
    using libc = new ProcessLibc();
    const self = libc.threadId();
    assert(self > 0 && libc.cpuMs(self)! > 0);
    assertEquals(libc.cpuMs(2 ** 22), undefined);
    assert(libc.processors()! >= 1);
    const [uptime] = Deno.readTextFileSync("/proc/uptime").split(" ");
    const usec = libc.monotonicUsec();
    assert(usec > 0n && libc.monotonicUsec() >= usec);
    // Both count from the start of the system, this one without the time that it slept.
    assert(Number(usec) <= (Number(uptime) + 60) * 1e6, `${usec} at ${uptime} s`);
  },
});

Deno.test({
  name:
    "a program with the permissions of the proxy gives back memory that only its start needed, and continues",
  ignore,
  async fn() {
    // In a separate process, whose memory no other test changes.
    const program = `
      const { ProcessLibc } = await import(${
      JSON.stringify(import.meta.resolve("./process_libc.ts"))
    });
      const libc = new ProcessLibc();
      const before = Deno.memoryUsage().rss;
      libc.giveBackMemory();
      const after = Deno.memoryUsage().rss;
      console.log(JSON.stringify({ before, after, sum: [1, 2].reduce((a, b) => a + b) }));`;
    const args = ["run", "--no-check", "--allow-ffi", "--allow-read", "-"];
    const pipes = { stdin: "piped", stdout: "piped" } as const;
    const child = new Deno.Command(Deno.execPath(), { args, ...pipes }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(program));
    await writer.close();
    const { stdout } = await child.output();
    const { before, after, sum } = JSON.parse(new TextDecoder().decode(stdout));
    assert(after < before * 0.8, `${before} bytes, then ${after}`);
    assertEquals(sum, 3);
  },
});

Deno.test({
  name: "the descriptor of an open file is found by its path, and files of the system can be read",
  ignore,
  async fn() {
    using libc = new ProcessLibc();
    const path = await Deno.realPath(await Deno.makeTempFile());
    assertEquals(libc.descriptorOf(path), undefined);
    {
      using _file = await Deno.open(path);
      const fd = libc.descriptorOf(path);
      assert(fd !== undefined && libc.isOpen(fd));
    }
    assertEquals(libc.descriptorOf(path), undefined);
    assert(libc.textOf("/proc/self/cmdline").split("\0").includes("test"));
    assertEquals(libc.textOf("/proc/self/nothing"), "");
    await Deno.remove(path);
  },
});
