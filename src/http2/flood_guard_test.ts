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
    guard.dataSent(1);
    assertEquals([guard.spend("windows", 0), guard.spend("windows", 0)], [true, true]);
  }
  // Two of the four for each frame were not used, and there is the budget of those that nothing explains.
  assertEquals(spent(guard, "windows", 0), 20_000 + 2_000);
});

Deno.test("a client may open both windows for each 4 KB of DATA, and long after it has come", () => {
  const [bytes, frame] = [64 * 1024 * 1024, 16 * 1024];
  const guard = new FloodGuard(0);
  for (let sent = 0; sent < bytes; sent += frame) guard.dataSent(frame);
  let refused = 0;
  for (let used = 0; used < bytes; used += 4096) {
    for (const _ of ["stream", "connection"]) if (!guard.spend("windows", 0)) refused++;
  }
  assertEquals(refused, 0);
});

Deno.test("DATA of long ago explains no more than a limited number of windows", () => {
  const guard = new FloodGuard(0);
  for (let i = 0; i < 1_000_000; i++) guard.dataSent(16 * 1024);
  assertEquals(spent(guard, "windows", 0), 250_000 + 2_000);
});

Deno.test("a client may send a PING for each DATA, and not save them up without end", () => {
  const guard = new FloodGuard(0);
  for (let i = 0; i < 5_000; i++) {
    guard.dataSent(16 * 1024);
    assertEquals(guard.spend("answered", 0), true);
  }
  for (let i = 0; i < 5_000; i++) guard.dataSent(16 * 1024);
  assertEquals(spent(guard, "answered", 0), 1_000 + 200);
});

Deno.test("what counts for less than one is allowed so much more often", () => {
  const guard = new FloodGuard(0);
  let count = 0;
  while (guard.spend("resets", 0, 0.5)) count++;
  assertEquals(count, 400);
});
