import { assertEquals } from "@std/assert";
import { GATEWAY_ERRORS_MAX, GatewayErrors } from "./gateway_errors.ts";

const ERRORS: readonly number[] = Array(GATEWAY_ERRORS_MAX).fill(502);

function doubts(statuses: readonly number[], errors = new GatewayErrors()): number {
  return statuses.filter((status) => errors.isDoubtful("a", status)).length;
}

Deno.test("the fifth 502, 503 or 504 in a row puts an upstream in doubt, and the tenth again", () => {
  assertEquals(doubts([502, 503, 504, 502]), 0);
  assertEquals(doubts([502, 503, 504, 502, 503]), 1);
  assertEquals(doubts([...ERRORS, ...ERRORS]), 2);
  assertEquals(doubts([...ERRORS, ...ERRORS.slice(1)]), 1);
});

Deno.test("any other answer between them starts the count again", () => {
  for (const other of [200, 304, 404, 500, 501, 505]) {
    assertEquals(doubts([502, 502, 502, 502, other, 502]), 0, String(other));
  }
});

Deno.test("each upstream is counted separately", () => {
  const errors = new GatewayErrors();
  for (const status of ERRORS.slice(1)) errors.isDoubtful("a", status);
  assertEquals(errors.isDoubtful("b", 503), false);
  assertEquals(errors.isDoubtful("a", 503), true);
});
