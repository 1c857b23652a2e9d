import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Change } from "../incidents/timeline.ts";
import { checksDrawing, dayDrawing, stretchesOf, waterfall } from "./page_drawings.ts";
import type { IncidentRecord } from "../incidents/record.ts";

const NOW = Date.parse("2026-01-02T00:00:00Z");
const HOUR = 3_600_000;

function change(hoursAgo: number, rest: Partial<Change>): Change {
  const time = new Date(NOW - hoursAgo * HOUR).toISOString();
  const open = {
    phase: "serving",
    upstream: "a",
    rank: 0,
    admission: "open",
    paused: false,
  } as const;
  return { time, ...open, ...rest };
}

Deno.test("the drawing of the last day has no gaps, also before the start and in outages", () => {
  const changes = [
    change(10, { admission: "closed", rank: null }),
    change(9, {}),
    change(2, { admission: "holding", rank: null }),
    change(1, { rank: 1 }),
  ];
  const kinds = stretchesOf(changes, NOW).map(({ kind, from, to }) => [kind, (to - from) / HOUR]);
  assertEquals(kinds, [["nothing", 14], ["nobody", 1], ["primary", 7], ["wait", 1], ["backup", 1]]);
  assertEquals(stretchesOf([change(30, {})], NOW).map(({ kind }) => kind), ["primary"]);
  assertEquals(stretchesOf([], NOW).map(({ kind }) => kind), ["nothing"]);
});

Deno.test("the last day is described in words, too", async () => {
  const text = String(await dayDrawing([change(30, {}), change(1, { rank: 1 })], NOW));
  assertStringIncludes(
    text,
    "In the last 24 hours the primary served for 23h, a backup served for 1h.",
  );
});

Deno.test("failed checks are drawn lower than passed ones, and the drawing has a description", async () => {
  const result = { tookMs: 3, time: NOW };
  const text = String(
    await checksDrawing({
      ...{ passed: 1, failed: 1, noVerdict: 0, run: 1 },
      answers: [
        { ...result, passed: true, reason: "connected", evidence: "passed" },
        { ...result, passed: false, reason: "<refused>", evidence: "refused" },
      ],
    }),
  );
  assertStringIncludes(text, 'aria-label="2 checks, 1 failed"');
  assertMatch(text, /class="down" x="12" y="10"/);
  assertStringIncludes(text, "&lt;refused&gt;");
});

Deno.test("the moments of an incident are in order of time, with the time between them", async () => {
  const at = (ms: number) => new Date(NOW + ms).toISOString();
  const record = {
    began: at(0),
    t: { first_failure: at(0), down: at(2_000), open: at(2_500), triggers_begin: at(2_100) },
  } as unknown as IncidentRecord;
  const text = String(await waterfall(record));
  const told = [...text.matchAll(/<td>(\+[^<]*)<\/td>\s*<td>([^<]*)</g)].map((
    [, after, what],
  ) => [after, what]);
  assertEquals(told, [
    ["+0s", "first failure"],
    ["+2s", "down"],
    ["+2.1s", "triggers begin"],
    ["+2.5s", "clients are let in"],
  ]);
});
