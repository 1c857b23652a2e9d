import { assertEquals } from "@std/assert";
import { Dice } from "./dice.ts";

Deno.test("the same seed gives the same numbers, another seed others", () => {
  const throwsOf = (seed: number) => {
    const dice = new Dice(seed);
    return Array.from({ length: 5 }, () => dice.under(1_000));
  };
  assertEquals(throwsOf(1), throwsOf(1));
  assertEquals(throwsOf(1) + "" === throwsOf(2) + "", false);
});

Deno.test("FAILOVER_SEED leaves one seed of many, and replaces a usual one", async () => {
  const dice = new URL("dice.ts", import.meta.url);
  const code =
    `import { seedOr, seeds } from "${dice}"; console.log(seeds(3, 1).join(), seedOr(7));`;
  const said = async (env: Record<string, string>) => {
    const kept = Deno.env.toObject();
    delete kept.FAILOVER_SEED;
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check", code],
      env: { ...kept, ...env },
      clearEnv: true,
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return success ? text(stdout).trim() : /Cannot use [^\n]*/.exec(text(stderr))?.[0];
  };
  assertEquals(await said({}), "1,2,3 7");
  assertEquals(await said({ FAILOVER_SEED: "42" }), "42 42");
  assertEquals(await said({ FAILOVER_SEED: "x" }), 'Cannot use FAILOVER_SEED="x"');
});
