import { assert, assertEquals } from "@std/assert";
import {
  doubted,
  failuresSoFar,
  isDown,
  isInDoubt,
  isSound,
  isUp,
  observe,
  trusted,
  unknownHealth,
} from "./health.ts";
import type { ProbeResult } from "./ports.ts";
import { PASSED, REFUSED, SILENT } from "./testing/results.ts";

const T = { rise: 2, fall: 3 };

function after(...results: readonly ProbeResult[]) {
  return results.reduce((health, r, i) => observe(health, r, T, i), unknownHealth(0));
}

Deno.test("an upstream is neither up nor down before its first result", () => {
  assert(!isUp(unknownHealth(0), T));
  assert(!isDown(unknownHealth(0), T));
});

Deno.test("the first result decides alone", () => {
  assert(isUp(after(PASSED), T));
  assert(isDown(after(REFUSED), T));
});

Deno.test("an upstream goes down at the third failure in a row, not at the second", () => {
  assert(isUp(after(PASSED, REFUSED, REFUSED), T));
  assert(isDown(after(PASSED, REFUSED, REFUSED, REFUSED), T));
});

Deno.test("a pass between failures starts the count again", () => {
  assert(isUp(after(PASSED, REFUSED, REFUSED, PASSED, REFUSED, REFUSED), T));
});

Deno.test("an upstream comes up at the second pass in a row, not at the first", () => {
  assert(isDown(after(REFUSED, PASSED), T));
  assert(isUp(after(REFUSED, PASSED, PASSED), T));
});

Deno.test("a failure between passes starts the count again", () => {
  assert(isDown(after(REFUSED, PASSED, REFUSED, PASSED), T));
});

Deno.test("an upstream is in doubt between two verdicts only", () => {
  assert(!isInDoubt(after(PASSED), T));
  assert(isInDoubt(after(PASSED, REFUSED), T));
  assert(!isInDoubt(after(PASSED, REFUSED, REFUSED, REFUSED), T));
  assert(isInDoubt(after(REFUSED, PASSED), T));
});

Deno.test("a hard doubt and one refused probe bring an upstream down", () => {
  assert(isDown(observe({ ...after(PASSED), doubt: "hard" }, REFUSED, T, 9), T));
});

Deno.test("a hard doubt and a silent probe do not", () => {
  const health = observe({ ...after(PASSED), doubt: "hard" }, SILENT, T, 9);
  assert(isUp(health, T));
  assertEquals(health.doubt, "hard");
});

Deno.test("a doubt counts as one failed check, and is never the last", () => {
  const twice = [SILENT, SILENT].reduce(
    (h, r) => observe(h, r, T, 9),
    doubted(after(PASSED), "soft", T),
  );
  assert(isDown(twice, T));
  assert(isUp(observe(doubted(after(PASSED), "soft", T), SILENT, T, 9), T));
  const again = doubted(doubted(after(PASSED), "soft", T), "hard", T);
  assertEquals(failuresSoFar(again, T), 1);
  const one = { rise: 1, fall: 1 };
  assert(isUp(doubted(observe(unknownHealth(0), PASSED, one, 0), "soft", one), one));
  assert(isUp(doubted(after(PASSED, REFUSED, REFUSED), "hard", T), T));
});

Deno.test("a soft doubt is no proof, and a pass clears it", () => {
  assert(isUp(observe({ ...after(PASSED), doubt: "soft" }, REFUSED, T, 9), T));
  assertEquals(observe({ ...after(PASSED), doubt: "soft" }, PASSED, T, 9).doubt, "none");
});

Deno.test("the run of failures began when its first probe was sent", () => {
  const health = observe(observe(after(PASSED), SILENT, T, 5_000), SILENT, T, 6_500);
  assertEquals(health.failingSince, 4_000);
  assertEquals(observe(health, PASSED, T, 7_000).failingSince, undefined);
});

Deno.test("the verdict remembers when it began", () => {
  const down = observe(
    observe(observe(after(PASSED), REFUSED, T, 1), REFUSED, T, 2),
    REFUSED,
    T,
    3,
  );
  assertEquals(down.since, 3);
  assertEquals(observe(down, REFUSED, T, 4).since, 3);
});

Deno.test("failures are counted while the upstream is still up", () => {
  assertEquals(failuresSoFar(after(PASSED, REFUSED, REFUSED), T), 2);
});

Deno.test("a selection without a better candidate accepts one pass", () => {
  const health = trusted(after(REFUSED, PASSED), T, 7);
  assert(isUp(health, T));
  assertEquals(health.since, 7);
});

Deno.test("with rise 1 and fall 1 every result is a verdict", () => {
  const one = { rise: 1, fall: 1 };
  const up = observe(unknownHealth(0), PASSED, one, 0);
  const down = observe(up, REFUSED, one, 1);
  assert(isUp(up, one) && isDown(down, one) && isUp(observe(down, PASSED, one, 2), one));
});

Deno.test("an upstream is sound only while it passes every check and no connection fails", () => {
  assert(isSound(after(PASSED), T));
  assert(!isSound(unknownHealth(0), T));
  assert(!isSound(after(PASSED, REFUSED), T));
  assert(!isSound({ ...after(PASSED), doubt: "soft" }, T));
});

Deno.test("a doubt puts an upstream with a verdict in doubt, and no other", () => {
  assert(isInDoubt({ ...after(PASSED), doubt: "soft" }, T));
  assert(!isInDoubt({ ...unknownHealth(0), doubt: "hard" }, T));
});
