import { assertEquals } from "@std/assert";
import { answerAt, factsOf } from "./facts.ts";
import { Live } from "./testing/live.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";

Deno.test("the facts are how upstreams answered, and how long triggers took", async () => {
  await using live = new Live();
  live.triggers = { tookMs: 700, outcome: { how: "ran" } };
  await live.clock.advance(60_000);
  live.answers.set("a", REFUSED);
  await live.clock.advance(30_000);
  const { answers, triggers, quietMs } = factsOf(await live.recorded());
  assertEquals(triggers, [{ to: "b", tookMs: 700, outcome: { how: "ran" } }]);
  assertEquals(quietMs, []);
  const a = answers.get("a")!;
  assertEquals([answerAt(a, 50_000), answerAt(a, 70_000)], [PASSED, REFUSED]);
  assertEquals(answerAt([], 0), undefined);
});
