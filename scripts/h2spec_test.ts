import { assertEquals } from "@std/assert";
import { casesIn } from "./h2spec.ts";

Deno.test("the last line of h2spec says how many cases there were", () => {
  const text = "Finished in 3.2 seconds\n146 tests, 120 passed, 1 skipped, 25 failed\n";
  assertEquals(casesIn(text), { tests: 146, passed: 120, skipped: 1, failed: 25 });
  assertEquals(casesIn("Error: connect: connection refused"), undefined);
});
