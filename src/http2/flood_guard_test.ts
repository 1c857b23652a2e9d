/** Budgets of frames that a client may send for nothing. */
import { assertEquals } from "@std/assert";
import { FloodGuard } from "./flood_guard.ts";

function spent(guard: FloodGuard, kind: Parameters<FloodGuard["spend"]>[0], now: number): number {
  for (let count = 0;; count++) {
    if (!guard.spend(kind, now)) return count;
  }
}

Deno.test("each kind has its own budget", () => {
  const guard = new FloodGuard(0);
  assertEquals([spent(guard, "resets", 0), spent(guard, "answered", 0)], [200, 200]);
  assertEquals([spent(guard, "empty", 0), spent(guard, "ignored", 0)], [100, 1_000]);
});

Deno.test("a budget fills again with time, up to its most", () => {
  const guard = new FloodGuard(0);
  spent(guard, "resets", 0);
  assertEquals(spent(guard, "resets", 2_000), 99);
  assertEquals(spent(guard, "resets", 1_000_000), 200);
});

Deno.test("our own DATA explains windows that are opened", () => {
  const guard = new FloodGuard(0);
  for (let i = 0; i < 10_000; i++) {
    guard.dataSent();
    assertEquals([guard.spend("windows", 0), guard.spend("windows", 0)], [true, true]);
  }
  assertEquals(spent(guard, "windows", 0), 1_998);
});
