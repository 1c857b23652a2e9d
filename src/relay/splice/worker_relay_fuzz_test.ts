/** Random sessions, with and without another process that takes over. A case that fails names its seed. */
import { assert } from "@std/assert";
import { chosenSeed, seeds } from "../../base/testing/dice.ts";
import { RandomCase } from "./testing/random_case.ts";

const CASES = 4_000;

Deno.test("sessions deliver every byte whatever the order of short counts, ends and resets", () => {
  let copied = 0;
  let spliced = 0;
  for (const seed of seeds(CASES, 1)) {
    const one = new RandomCase(seed, false);
    try {
      one.run();
    } catch (error) {
      throw new Error(`FAILOVER_SEED=${seed}`, { cause: error });
    }
    copied += one.kernel.copied;
    spliced += one.kernel.spliced;
  }
  if (chosenSeed !== undefined) return;
  assert(copied > 1_000_000 && spliced > 1_000_000, `${copied} copied, ${spliced} spliced`);
});

Deno.test("sessions go on in another process, or stay, without a byte lost or doubled, whenever it takes over", () => {
  let [taken, refused] = [0, 0];
  for (const seed of seeds(CASES, 1)) {
    const one = new RandomCase(seed, true);
    try {
      one.run();
    } catch (error) {
      throw new Error(`FAILOVER_SEED=${seed}`, { cause: error });
    }
    taken += one.passed.taken;
    refused += one.passed.refused;
  }
  if (chosenSeed !== undefined) return;
  assert(taken > 1_000 && refused > 100, `${taken} taken, ${refused} refused`);
});
