import { assertEquals } from "@std/assert";
import { decode, encode } from "./codec.ts";
import { PASSED, REFUSED, Rig } from "./testing/rig.ts";

Deno.test("recorded inputs are the same after a conversion to JSON and back", async () => {
  await using rig = new Rig({ maxBackoffMs: Infinity });
  await rig.start(PASSED, PASSED);
  await rig.answer("a", REFUSED, 4);
  await rig.answer("b", PASSED);
  const recorded = (await rig.incidents.inputs(rig.last.id))!;
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
