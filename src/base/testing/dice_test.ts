import { assertEquals } from "@std/assert";
import { Dice } from "./dice.ts";

Deno.test("the same seed gives the same numbers, another seed others", () => {
  const numbersOf = (seed: number) => {
    const dice = new Dice(seed);
    return Array.from({ length: 5 }, () => dice.under(1_000));
  };
  assertEquals(numbersOf(1), numbersOf(1));
  assertEquals(numbersOf(1) + "" === numbersOf(2) + "", false);
});

Deno.test("FAILOVER_SEED leaves one seed of many, and replaces a standard one; FAILOVER_FIRST_SEED is where they begin", async () => {
  const dice = new URL("dice.ts", import.meta.url);
  const code = `import { firstSeed, seedOr, seeds } from "${dice}";
     console.log(seeds(3, 1).join(), seedOr(7), firstSeed);`;
  const printed = async (env: Record<string, string>) => {
    const inherited = Deno.env.toObject();
    delete inherited.FAILOVER_SEED;
    delete inherited.FAILOVER_FIRST_SEED;
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check", code],
      env: { ...inherited, ...env },
      clearEnv: true,
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return success ? text(stdout).trim() : /Cannot use [^\n]*/.exec(text(stderr))?.[0];
  };
  assertEquals(await printed({}), "1,2,3 7 0");
  assertEquals(await printed({ FAILOVER_SEED: "42" }), "42 42 0");
  assertEquals(await printed({ FAILOVER_FIRST_SEED: "9" }), "1,2,3 7 9");
  assertEquals(await printed({ FAILOVER_SEED: "x" }), 'Cannot use FAILOVER_SEED="x"');
});
