import { assertEquals } from "@std/assert";
import { decode, encode } from "./codec.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { IncidentFixture } from "./testing/incident_fixture.ts";

Deno.test("recorded inputs are the same after a conversion to JSON and back", async () => {
  await using fixture = new IncidentFixture({ maxBackoffMs: Infinity });
  await fixture.start(PASSED, PASSED);
  await fixture.answer("a", REFUSED, 4);
  await fixture.answer("b", PASSED);
  const recorded = (await fixture.incidents.inputs(fixture.last.id))!;
  const again = decode(JSON.parse(JSON.stringify(encode(recorded))))!;
  assertEquals(again.start.health.get("a")?.level, recorded.start.health.get("a")?.level);
  assertEquals(again.policy, recorded.policy);
  assertEquals(encode(again), encode(recorded));
});

Deno.test("a value that is not a recording is refused", () => {
  for (const value of [null, 7, "x", [], {}, { entries: [], decided: [], policy: {} }]) {
    assertEquals(decode(value), undefined);
  }
});
