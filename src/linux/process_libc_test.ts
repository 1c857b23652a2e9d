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
  },
});

Deno.test({
  name: "memory that only the start needed is given back, and the program goes on",
  ignore,
  async fn() {
    // In a process of its own, whose memory no other test changes.
    const program = `
      const { ProcessLibc } = await import(${
      JSON.stringify(import.meta.resolve("./process_libc.ts"))
    });
      const code = () => Number(/RssFile:\\s*(\\d+)/.exec(Deno.readTextFileSync("/proc/self/status"))[1]);
      const libc = new ProcessLibc();
      const maps = Deno.readTextFileSync("/proc/self/maps");
      const before = code();
      libc.giveBackMemory(maps, "/another/program");
      const other = code();
      libc.giveBackMemory(maps, Deno.execPath());
      console.log(JSON.stringify({ before, other, after: code(), sum: [1, 2].reduce((a, b) => a + b) }));`;
    const args = ["eval", "--no-check", program];
    const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
    const { before, other, after, sum } = JSON.parse(new TextDecoder().decode(stdout));
    assert(after < before * 0.8 && other > before * 0.8, `${before} KB, ${other} KB, ${after} KB`);
    assertEquals(sum, 3);
  },
});
