import { assertEquals } from "@std/assert";
import { PASSED, REFUSED, Rig } from "./testing/rig.ts";

Deno.test("evidence is limited, and omits repeated passes and long runs of failures", async () => {
  await using rig = new Rig();
  await rig.start(PASSED, PASSED);
  await rig.clock.advance(10_000);
  await rig.answer("a", REFUSED, 3);
  await rig.answer("a", REFUSED, 9);
  for (let turn = 0; turn < 60; turn++) {
    await rig.answer("b", { ...REFUSED, reason: `refused ${turn}` });
  }
  await rig.answer("b", PASSED, 1);
  await rig.answer("a", PASSED, 2);
  await rig.clock.advance(1);
  const { evidence } = rig.last;
  assertEquals(evidence.length, 40);
  assertEquals(evidence.filter(({ upstream, passed }) => upstream === "a" && !passed).length, 5);
});

Deno.test("the end of an incident that is too long to be recorded whole has its evidence too", async () => {
  await using rig = new Rig({ maxBackoffMs: Infinity }, ["a", "b"]);
  await rig.start(PASSED, PASSED);
  await rig.answer("a", REFUSED, 4);
  for (let turn = 0; turn < 2_500; turn++) {
    await rig.clock.advance(10);
    await rig.answer("b", { ...REFUSED, reason: `refused ${turn}` });
  }
  assertEquals((await rig.incidents.inputs(rig.last.id))!.isCutOff, true);
  await rig.answer("a", PASSED, 2);
  await rig.answer("b", PASSED, 2);
  await rig.clock.advance(1);
  assertEquals(rig.last.outcome, "served");
  assertEquals(rig.last.evidence.at(-1)?.passed, true);
});
