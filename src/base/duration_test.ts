import { assert, assertEquals } from "@std/assert";
import { formatDuration, parseDuration } from "./duration.ts";
import { ConfigError } from "./config_error.ts";

Deno.test("durations are read with and without units", () => {
  const cases = {
    "250ms": 250,
    "2s": 2_000,
    "1m30s": 90_000,
    "1.5s": 1_500,
    "60": 60_000,
    "0": 0,
    "1h": 3_600_000,
  };
  for (const [text, ms] of Object.entries(cases)) assertEquals(parseDuration(text), ms, text);
});

Deno.test("what is not a duration, or longer than a timer can wait, is an error", () => {
  for (const text of ["", "s", "2 s", "-1s", "1x", "ms5", "1s2", "25d", "1e3", "Infinity"]) {
    assert(parseDuration(text) instanceof ConfigError, text);
  }
});

Deno.test("durations print so that they read back the same", () => {
  for (const ms of [0, 1, 250, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000, 59_999]) {
    assertEquals(parseDuration(formatDuration(ms)), ms, formatDuration(ms));
  }
  assertEquals(formatDuration(90_000), "1m30s");
});
