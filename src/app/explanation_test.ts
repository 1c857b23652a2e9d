import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { configOf } from "../config/testing/config.ts";
import { explanationOf } from "./explanation.ts";

const TCP = ["--port", "5432", "--hosts", "a:1,b:1", "--trigger-timeout", "7s"];

/** The worst sum for an upstream that refuses connections, in milliseconds. */
async function worstOf(args: readonly string[]): Promise<number> {
  const [service] = JSON.parse(await explanationOf(configOf(args), true));
  return service.faults.find(({ name }: { name: string }) => name === "refused").worstMs;
}

Deno.test("an explanation is text for people, or JSON", async () => {
  assertStringIncludes(await explanationOf(configOf(TCP), false), "refused: usually ");
  assert(await worstOf(TCP) > 0);
});

Deno.test("each trigger in the folder counts, and one that is not here counts as one", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of ["1.sh", "2.sh"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "#!/bin/sh\n", { mode: 0o755 });
    }
    const without = await worstOf(TCP);
    const two = await worstOf([...TCP, "--on-failover", folder]) - without;
    const one = await worstOf([...TCP, "--on-failover", `${folder}/none`]) - without;
    // Its limit, and the time that a program has to end after that.
    assert(one >= 7_000, `${one}`);
    assertEquals(two, 2 * one);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an explanation knows that several proxies share the decision", async () => {
  const shared = [...TCP, "--coordinator", "etcd://127.0.0.1:2379/prod", "--coordinator-lease=20s"];
  assertStringIncludes(await explanationOf(configOf(shared), false), "leader gone");
  // The proxies hold their clients, and two calls may each meet a dead member.
  assertEquals(await worstOf(shared) - await worstOf(TCP), 1_000 + 6_000);
});
