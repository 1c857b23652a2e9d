import { assert, assertEquals } from "@std/assert";
import { LogLimiter } from "./log_limiter.ts";

Deno.test("the same key is allowed once in an interval, another key at once", () => {
  const limiter = new LogLimiter(1_000);
  const allowed = [0, 500, 999, 1_000, 1_500].map((now) => limiter.allow("a", now));
  assertEquals(allowed, [true, false, false, true, false]);
  assert(limiter.allow("b", 1_500));
});

Deno.test("a limiter remembers a limited number of keys", () => {
  const limiter = new LogLimiter(1_000);
  for (let i = 0; i < 1_000; i++) assert(limiter.allow(`${i}`, 0));
});
