import { assertEquals } from "@std/assert";
import { DAMPING_WINDOW_MS, dampingMs, failbackAt, recentFailbacks } from "./failback.ts";

Deno.test("the first two failbacks in ten minutes are not damped", () => {
  assertEquals(dampingMs([], 0), 0);
  assertEquals(dampingMs([100], 200), 0);
});

Deno.test("the third waits 10 s more, each further one twice as long, up to 10 min", () => {
  const times = (n: number) => Array.from({ length: n }, (_, i) => i);
  assertEquals([2, 3, 4, 5].map((n) => dampingMs(times(n), 100)), [10_000, 20_000, 40_000, 80_000]);
  assertEquals(dampingMs(times(9), 100), 600_000);
  assertEquals(dampingMs(times(90), 100), 600_000);
});

Deno.test("failbacks older than ten minutes are forgotten", () => {
  const now = DAMPING_WINDOW_MS + 5;
  assertEquals(recentFailbacks([4, 5, 6], now), [6]);
  assertEquals(dampingMs([1, 2, 3], now), 0);
});

Deno.test("each policy determines when traffic may return", () => {
  assertEquals(failbackAt({ kind: "never" }, 1_000, 0), undefined);
  assertEquals(failbackAt({ kind: "manual" }, 1_000, 0), undefined);
  assertEquals(failbackAt({ kind: "auto" }, 1_000, 10_000), 11_000);
  assertEquals(failbackAt({ kind: "after", ms: 30_000 }, 1_000, 10_000), 41_000);
});
