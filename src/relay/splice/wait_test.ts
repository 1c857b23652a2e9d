import { assertEquals } from "@std/assert";
import { NEVER } from "../../linux/timer_wheel.ts";
import { Wait } from "./wait.ts";

Deno.test("a record that is used again knows nothing of the client before", () => {
  const wait = new Wait();
  wait.begin(5_000);
  wait.enter("resources", 700);
  Object.assign(wait, { since: 1, doubtAt: 2, attemptEndsAt: 3, failures: 4, tried: 5, first: 6 });
  Object.assign(wait, { address: new Uint8Array(16), fault: "connectRefused", isQueued: true });
  const fresh = new Wait();
  fresh.begin(9_000);
  wait.begin(9_000);
  assertEquals({ ...wait }, { ...fresh });
});

Deno.test("a state lasts until its own time, or until something else ends it", () => {
  const wait = new Wait();
  wait.begin(5_000);
  wait.enter("settling", 1_050);
  assertEquals([wait.waitsFor, wait.nextAt, wait.giveUpAt], ["settling", 1_050, 5_000]);
  wait.enter("verdict");
  assertEquals([wait.waitsFor, wait.nextAt, wait.giveUpAt], ["verdict", NEVER, 5_000]);
});
