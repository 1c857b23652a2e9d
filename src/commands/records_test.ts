import { assert, assertEquals, assertRejects } from "@std/assert";
import { encode } from "../incidents/codec.ts";
import { incidentsFile, lineOf } from "../incidents/stored.ts";
import { PASSED, REFUSED } from "../failover/testing/results.ts";
import { IncidentFixture } from "../incidents/testing/incident_fixture.ts";
import { NoProcess } from "./connection.ts";
import { recordsIn } from "./records.ts";

Deno.test("incidents are found in a state folder by both ids, with their inputs", async () => {
  await using fixture = new IncidentFixture();
  await fixture.start(PASSED, PASSED);
  await fixture.answer("a", REFUSED, 4);
  await fixture.answer("b", PASSED);
  await fixture.clock.advance(1);
  const folder = await Deno.makeTempDir();
  try {
    await assertRejects(() => recordsIn(folder), NoProcess, "it holds no incidents");
    const record = fixture.last;
    const inputs = encode((await fixture.incidents.inputs(record.id))!);
    await Deno.writeTextFile(incidentsFile(folder), lineOf(record, inputs));
    const records = await recordsIn(folder);
    assertEquals((await records.list()).length, 1);
    for (const id of [record.id, "test-2"]) {
      const found = await records.find(id);
      assert(typeof found !== "string" && found.id === record.id);
      assertEquals(encode((await records.inputs(id))!), inputs);
    }
    assertEquals(await records.find("x"), "there is no incident x");
    assertEquals(await records.inputs("x"), undefined);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
