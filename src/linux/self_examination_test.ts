import { assert, assertEquals } from "@std/assert";

Deno.test({
  name: "the self-test finds the structures of libc as expected, and leaves nothing open",
  ignore: Deno.build.os !== "linux",
  async fn() {
    // In a separate process: in this one other tests open descriptors and close them.
    const program = `
      import { Libc } from ${JSON.stringify(new URL("./libc.ts", import.meta.url))};
      import { selfTest } from ${JSON.stringify(new URL("./self_examination.ts", import.meta.url))};
      const openDescriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
      const before = openDescriptors();
      {
        using libc = new Libc();
        selfTest(libc);
      }
      console.log(openDescriptors() - before);`;
    const command = new Deno.Command(Deno.execPath(), { args: ["eval", "--quiet", program] });
    const { stdout, stderr } = await command.output();
    const [opened, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(errors, "");
    // Fewer are fine: the runtime may close one of its own soon after its start.
    assert(opened !== "" && Number(opened) <= 0, `${opened} more descriptors are open`);
  },
});

Deno.test({
  name: "without descriptors the reason is that there are none, and later there is no reason",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const module = (path: string) => JSON.stringify(new URL(path, import.meta.url));
    const program = `
      import { kernelUnsupportedReason } from ${module("./unsupported_reason.ts")};
      import { tlsUnsupportedReason } from ${module("./tls_unsupported_reason.ts")};
      import { limit, useUpDescriptors } from ${module("../../tests/harness/limits.ts")};
      limit("descriptors", 100);
      const usual = kernelUnsupportedReason();
      const said = new Set();
      // Up to more than are needed, as the runtime opens some of its own meanwhile.
      for (let few = 0; few < 24; few++) {
        const free = useUpDescriptors(few);
        said.add(kernelUnsupportedReason());
        tlsUnsupportedReason();
        free();
      }
      console.log(JSON.stringify([[...said].map(String), usual === kernelUnsupportedReason()]));
      console.log(tlsUnsupportedReason());`;
    const command = new Deno.Command(Deno.execPath(), { args: ["eval", "--quiet", program] });
    const { stdout, stderr } = await command.output();
    const [out, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals(errors, "");
    const [reasons, later] = out!.trim().split("\n");
    assertEquals(JSON.parse(reasons!), [["too many open files", "undefined"], true]);
    assert(!later!.includes("open files"), later);
  },
});
