/** Many operations on files at one time, on a disk that is slow, and on one that is silent. */
import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { FILE_SILENT } from "../base/file_time.ts";
import { FILES_MAX, FileTurns } from "./file_turns.ts";

const MS = 2_000;
const MANY = 200;

Deno.test("many operations on a slow disk have a deadline each, from their turn on", async () => {
  const clock = new ManualClock();
  const turns = new FileTurns(clock, MS);
  let underWay = 0;
  let most = 0;
  const slow = (number: number) => async () => {
    most = Math.max(most, ++underWay);
    await new Promise<void>((resolve) => void clock.after(MS / 2, resolve));
    underWay--;
    if (number === 7) throw new Error("no space");
    return number;
  };
  const all = Promise.allSettled(
    Array.from({ length: MANY }, (_, number) => turns.run(slow(number))),
  );
  for (let at = 0; at < MANY; at += FILES_MAX) await clock.advance(MS / 2);
  const outcomes = (await all).map((each) => "value" in each ? each.value : each.reason.message);
  assertEquals(outcomes, Array.from({ length: MANY }, (_, n) => n === 7 ? "no space" : n));
  assertEquals([most, clock.pending], [FILES_MAX, 0]);
});

Deno.test("on a silent disk all that wait fail with the first one, and it is asked again later", async () => {
  const clock = new ManualClock();
  const turns = new FileTurns(clock, MS);
  let begun = 0;
  const never = () => {
    begun++;
    return new Promise<never>(() => {});
  };
  const all = Promise.allSettled(Array.from({ length: MANY }, () => turns.run(never)));
  await clock.advance(MS);
  const outcomes = (await all).map((each) => "reason" in each ? each.reason.message : "done");
  assertEquals([new Set(outcomes), begun], [new Set([FILE_SILENT]), FILES_MAX]);
  const later = Array.from(
    { length: MANY },
    (_, number) => turns.run(() => Promise.resolve(number)),
  );
  assertEquals((await Promise.all(later)).length, MANY);
  const patient = assertRejects(() => turns.run(never, 5 * MS), Error, FILE_SILENT);
  await clock.advance(5 * MS - 1);
  assertEquals(clock.pending, 1);
  await clock.advance(1);
  await patient;
});
