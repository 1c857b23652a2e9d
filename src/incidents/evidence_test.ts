import { assertEquals } from "@std/assert";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { IncidentFixture } from "./testing/incident_fixture.ts";

Deno.test("evidence is limited, and omits repeated passes and long runs of failures", async () => {
  await using fixture = new IncidentFixture();
  await fixture.start(PASSED, PASSED);
  await fixture.clock.advance(10_000);
  await fixture.answer("a", REFUSED, 3);
  await fixture.answer("a", REFUSED, 9);
  for (let turn = 0; turn < 60; turn++) {
    await fixture.answer("b", { ...REFUSED, reason: `refused ${turn}` });
  }
  await fixture.answer("b", PASSED, 1);
  await fixture.answer("a", PASSED, 2);
  await fixture.clock.advance(1);
  const { evidence } = fixture.last;
  assertEquals(evidence.length, 40);
  assertEquals(evidence.filter(({ upstream, passed }) => upstream === "a" && !passed).length, 5);
});

Deno.test("the end of an incident that is too long to be recorded whole has its evidence too", async () => {
  await using fixture = new IncidentFixture({ maxBackoffMs: Infinity }, ["a", "b"]);
  await fixture.start(PASSED, PASSED);
  await fixture.answer("a", REFUSED, 4);
  for (let turn = 0; turn < 2_500; turn++) {
    await fixture.clock.advance(10);
    await fixture.answer("b", { ...REFUSED, reason: `refused ${turn}` });
  }
  assertEquals((await fixture.incidents.inputs(fixture.last.id))!.isCutOff, true);
  await fixture.answer("a", PASSED, 2);
  await fixture.answer("b", PASSED, 2);
  await fixture.clock.advance(1);
  assertEquals(fixture.last.outcome, "served");
  assertEquals(fixture.last.evidence.at(-1)?.passed, true);
});
