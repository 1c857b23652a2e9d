import { assertEquals } from "@std/assert";
import { clientsSince, isoOf, MOMENT_WORDS, MOMENTS, stampOf } from "./record.ts";

Deno.test("the clients of an incident are those that came since its beginning", () => {
  const before = { released: 3, lost: 10, abandoned: 1 };
  assertEquals(clientsSince(before, { released: 8, lost: 10, retried: 2 }, 5), {
    ...{ most_held: 5, hold_p50_ms: null, hold_p99_ms: null },
    ...{ released: 5, lost: 0, retried: 2 },
  });
});

Deno.test("the counts of a service that was restarted begin at 0 again", () => {
  assertEquals(clientsSince({ lost: 10 }, { lost: 4 }, 0).lost, 0);
});

Deno.test("how long clients waited is the upper end of a range, or null beyond the last one", () => {
  const bounds = [0.1, 1];
  const before = { holdTimes: { bounds, counts: [100, 0, 0] } };
  const waits = (counts: number[]) => {
    const { hold_p50_ms, hold_p99_ms } = clientsSince(before, { holdTimes: { bounds, counts } }, 0);
    return [hold_p50_ms, hold_p99_ms];
  };
  assertEquals(waits([100, 0, 0]), [null, null]);
  assertEquals(waits([160, 40, 0]), [100, 1_000]);
  assertEquals(waits([101, 0, 99]), [null, null]);
});

Deno.test("times are in UTC, and each moment has a description", () => {
  const wallMs = Date.parse("2026-11-21T03:00:00.123Z");
  assertEquals(stampOf(wallMs), "20261121-030000.123");
  assertEquals(isoOf(wallMs), "2026-11-21T03:00:00.123Z");
  assertEquals(Object.keys(MOMENT_WORDS), [...MOMENTS]);
});
