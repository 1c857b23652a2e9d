import { assert, assertEquals } from "@std/assert";
import { retryFailbackMs } from "../failover/failback.ts";
import { type Memory, memoryOf } from "../failover/memory.ts";
import { START } from "../failover/testing/states.ts";
import { memoryFrom, textOf } from "./memory_text.ts";

/** The time of the machine at which a memory is read, in milliseconds. */
const NOW = 100_000;
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
  fence: 40,
  standbys: new Map([["b:1", "standby"], ["c:1", "rival"]]),
};

const clockAt = (offsetMs: number, now = NOW) => ({ now: () => now, wall: () => now + offsetMs });

Deno.test("a memory is read as it was written, whatever the machine's clock is then", () => {
  const text = textOf("db", FULL, OFFSET_MS);
  assertEquals(memoryFrom("db", text, clockAt(OFFSET_MS)), FULL);
  const later = memoryFrom("db", text, clockAt(OFFSET_MS + 5_000));
  assert(typeof later !== "string");
  assertEquals([later.failbacks, later.paused?.since], [[-4_000, -3_000], 2_000]);
  const nothing = memoryOf(START);
  assertEquals(memoryFrom("db", textOf("db", nothing, OFFSET_MS), clockAt(OFFSET_MS)), nothing);
});

Deno.test("when the wall clock was set back by an hour, nothing has happened in the future", () => {
  const verdicts = new Map([["a:1", { isUp: true, since: 3_000 }]]);
  const full = { ...FULL, standing: { active: "a:1", since: 1_000, verdicts } };
  const text = textOf("db", full, OFFSET_MS);
  const back = memoryFrom("db", text, clockAt(OFFSET_MS - 3_600_000));
  assert(typeof back !== "string");
  assertEquals([back.failbacks, back.paused?.since], [[NOW, NOW], NOW]);
  assertEquals([back.standing?.since, back.standing?.verdicts.get("a:1")?.since], [NOW, NOW]);
  // It is tried again after the usual pause at most.
  assertEquals(back.failedMoves?.until, NOW + retryFailbackMs(2));
});

Deno.test("the file is readable for people: fields have words and times are in UTC", () => {
  const text = textOf("db", FULL, OFFSET_MS);
  assert(text.includes('"served": "a:1"') && text.endsWith("}\n"), text);
  assert(text.includes('"since": "2026-01-01T00:00:07.000Z"'), text);
});

Deno.test("a damaged file is refused with the reason", () => {
  const good = JSON.parse(textOf("db", FULL, OFFSET_MS));
  const reason = (change: object) =>
    memoryFrom("db", JSON.stringify({ ...good, ...change }), clockAt(OFFSET_MS));
  assertEquals(memoryFrom("db", "", clockAt(0)), "it is empty");
  assertEquals(memoryFrom("db", '{"version": 1', clockAt(0)), "it is not JSON");
  assertEquals(memoryFrom("db", "[]", clockAt(0)), "it is not an object");
  assertEquals(reason({ version: 2 }), "a later version of failover wrote it (2)");
  assertEquals(reason({ service: "web" }), "it is of another service");
  assertEquals(reason({ epoch: -1 }), "epoch is not a whole number");
  assertEquals(reason({ fence: "high" }), "fence is not a whole number");
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
  assertEquals(memoryFrom("db", text, clockAt(OFFSET_MS)), { ...FULL, standing });
  const damaged = text.replace('"active": "a:1"', '"active": 7');
  assertEquals(memoryFrom("db", damaged, clockAt(OFFSET_MS)), "standing.active is not a text");
});
