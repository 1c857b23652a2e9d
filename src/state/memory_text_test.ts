import { assert, assertEquals } from "@std/assert";
import { type Memory, memoryOf } from "../failover/memory.ts";
import { START } from "../failover/testing/states.ts";
import { memoryFrom, textOf } from "./memory_text.ts";

/** The wall clock minus the time of the machine, in milliseconds. */
const OFFSET_MS = Date.parse("2026-01-01T00:00:00Z");
const BY = { by: "ann", reason: "a new disk", since: 7_000 };
const FULL: Memory = {
  epoch: 12,
  served: "a:1",
  unfinished: { to: "b:1", from: "a:1" },
  lastChosen: "a:1",
  failbacks: [1_000, 2_000],
  failedMoves: { to: "b:1", count: 2, until: 99_000 },
  paused: BY,
  drained: new Map([["c:1", BY]]),
  pinned: "a:1",
  standbys: new Map([["b:1", "standby"], ["c:1", "rival"]]),
};

Deno.test("a memory is read as it was written, whatever the machine's clock is then", () => {
  const text = textOf("db", FULL, OFFSET_MS);
  assertEquals(memoryFrom("db", text, OFFSET_MS), FULL);
  const later = memoryFrom("db", text, OFFSET_MS + 5_000);
  assert(typeof later !== "string");
  assertEquals([later.failbacks, later.paused?.since], [[-4_000, -3_000], 2_000]);
  const nothing = memoryOf(START);
  assertEquals(memoryFrom("db", textOf("db", nothing, OFFSET_MS), OFFSET_MS), nothing);
});

Deno.test("the file is readable for people: fields have words and times are in UTC", () => {
  const text = textOf("db", FULL, OFFSET_MS);
  assert(text.includes('"served": "a:1"') && text.endsWith("}\n"), text);
  assert(text.includes('"since": "2026-01-01T00:00:07.000Z"'), text);
});

Deno.test("a damaged file is refused with the reason", () => {
  const good = JSON.parse(textOf("db", FULL, OFFSET_MS));
  const reason = (change: object) =>
    memoryFrom("db", JSON.stringify({ ...good, ...change }), OFFSET_MS);
  assertEquals(memoryFrom("db", "", 0), "it is empty");
  assertEquals(memoryFrom("db", '{"version": 1', 0), "it is not JSON");
  assertEquals(memoryFrom("db", "[]", 0), "it is not an object");
  assertEquals(reason({ version: 2 }), "a later version of failover wrote it (2)");
  assertEquals(reason({ service: "web" }), "it is of another service");
  assertEquals(reason({ epoch: -1 }), "epoch is not a whole number");
  assertEquals(reason({ served: undefined }), "served is not a text");
  assertEquals(reason({ unfinished: { to: 5, from: null } }), "unfinished.to is not a text");
  const drained = { a: { by: "x", reason: "", since: "noon" } };
  assertEquals(reason({ drained }), "drained.a.since is not a time");
  assertEquals(reason({ failbacks: "often" }), "failbacks is not a list of times");
});

Deno.test("what stands while one process takes over from another is written and read as well", () => {
  const verdicts = new Map([["a:1", { isUp: true, since: 3_000 }]]);
  const standing = { active: "a:1", since: 1_000, verdicts };
  const text = textOf("db", { ...FULL, standing }, OFFSET_MS);
  assertEquals(memoryFrom("db", text, OFFSET_MS), { ...FULL, standing });
  const damaged = text.replace('"active": "a:1"', '"active": 7');
  assertEquals(memoryFrom("db", damaged, OFFSET_MS), "standing.active is not a text");
});
