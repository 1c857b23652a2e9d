import { assertEquals } from "@std/assert";
import { hasSystemStore } from "./system_store.ts";
import { opensslTest } from "./testing/tls_pair.ts";

opensslTest(
  "the system's authorities are found where they are, and without permission there are none",
  async () => {
    // Debian and its relatives have both or neither.
    const has = await Deno.stat("/etc/ssl/certs/ca-certificates.crt").then(
      () => true,
      () => undefined,
    );
    if (has === true) assertEquals(hasSystemStore(), true);
    const module = new URL("./system_store.ts", import.meta.url);
    const program = `import { hasSystemStore } from ${JSON.stringify(module)};
    console.log(hasSystemStore());`;
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    await Deno.writeTextFile(`${folder}/main.ts`, program);
    const args = ["run", "-q", "--no-check", "--no-prompt", "--allow-ffi", `${folder}/main.ts`];
    const { stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
    await Deno.remove(folder, { recursive: true });
    assertEquals(new TextDecoder().decode(stdout), "false\n");
  },
);
