import { assertEquals } from "@std/assert";
import { userTimeoutOf } from "./engine.ts";
import { SETTINGS } from "./testing/relay_fixture.ts";

Deno.test("a peer that acknowledges nothing is given up after the idle timeout, but not during a connect", () => {
  const timeout = (idleTimeoutMs: number, connectTimeoutMs: number) =>
    userTimeoutOf({ ...SETTINGS, idleTimeoutMs, connectTimeoutMs });
  assertEquals([timeout(0, 5_000), timeout(60_000, 5_000), timeout(1_000, 5_000)], [
    ...[0, 60_000, 5_000],
  ]);
});
