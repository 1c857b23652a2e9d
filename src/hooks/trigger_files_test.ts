import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { findTriggers, type FoundPrograms } from "./find.ts";
import { ProgramFolder } from "./testing/program.ts";
import { FIRST_SEARCH_MS, REFRESH_MS, SEARCH_MS, TriggerFiles } from "./trigger_files.ts";

/** Searches for triggers that end when the test ends them. */
class FakeSearches {
  readonly begun: PromiseWithResolvers<FoundPrograms>[] = [];
  readonly find = (): Promise<FoundPrograms> => {
    const search = Promise.withResolvers<FoundPrograms>();
    this.begun.push(search);
    return search.promise;
  };
}

const nothing: FoundPrograms = { programs: [], errors: [], warnings: [] };
const one: FoundPrograms = { ...nothing, programs: ["/t/1"] };
const two: FoundPrograms = { ...nothing, programs: ["/t/1", "/t/2"] };
const short: FoundPrograms = { ...nothing, errors: ["/t: too many open files"], isShort: true };

function begin() {
  const [clock, searches] = [new ManualClock(), new FakeSearches()];
  return { clock, searches, files: new TriggerFiles("/t", clock, searches.find) };
}

Deno.test("a promotion gets the files that are there now, although an earlier search was still under way", async () => {
  const { clock, searches, files } = begin();
  const found = files.current();
  searches.begun[0]!.resolve(one);
  await clock.advance(0);
  assertEquals(searches.begun.length, 2);
  searches.begun[1]!.resolve(two);
  assertEquals(await found, two);
  files[Symbol.dispose]();
  assertEquals(clock.pending, 0);
});

Deno.test("a promotion waits one second for the search of its triggers, and then uses the last result", async () => {
  const { clock, searches, files } = begin();
  searches.begun[0]!.resolve(one);
  await clock.advance(0);
  const found = files.current();
  await clock.advance(SEARCH_MS);
  assertEquals(await found, one);
  // The late result is the newest one and is kept.
  searches.begun[1]!.resolve(two);
  await clock.advance(0);
  const later = files.current();
  await clock.advance(SEARCH_MS);
  assertEquals(await later, two);
  files[Symbol.dispose]();
});

Deno.test("a search that failed for a shortage does not replace an earlier result", async () => {
  const { clock, searches, files } = begin();
  searches.begun[0]!.resolve(one);
  await clock.advance(0);
  const found = files.current();
  searches.begun[1]!.resolve(short);
  assertEquals(await found, one);
  files[Symbol.dispose]();
});

Deno.test("a promotion reports a shortage if the files were never read", async () => {
  const { clock, searches, files } = begin();
  const found = files.current();
  await clock.advance(FIRST_SEARCH_MS);
  const { programs, errors, isShort } = await found;
  assertEquals([programs, isShort], [[], true]);
  assertMatch(errors[0]!, /^\/t: could not be looked at within 10s$/);
  assertEquals(searches.begun.length, 1);
  files[Symbol.dispose]();
});

Deno.test("files are searched again while no promotion runs, one search at a time", async () => {
  const { clock, searches, files } = begin();
  await clock.advance(10 * REFRESH_MS);
  assertEquals(searches.begun.length, 1);
  searches.begun[0]!.resolve(one);
  await clock.advance(0);
  await clock.advance(REFRESH_MS);
  assertEquals(searches.begun.length, 2);
  searches.begun[1]!.resolve(two);
  await clock.advance(0);
  const found = files.current();
  await clock.advance(SEARCH_MS);
  assertEquals(await found, two);
  files[Symbol.dispose]();
  assertEquals(clock.pending, 0);
});

Deno.test({
  name: "a promotion does not wait for threads that hanging file operations keep busy",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await ProgramFolder.make();
    const path = await folder.script("trigger", "exit 0");
    const fifo = await folder.fifo("hangs");
    const clock = new ManualClock();
    const searches: Promise<FoundPrograms>[] = [];
    using files = new TriggerFiles(path, clock, (path) => {
      const search = findTriggers(path);
      searches.push(search);
      return search;
    });
    await searches[0];
    // Each occupies a thread until the other end is opened, like a look-up of a name without an answer.
    const hanging = Array.from({ length: 64 }, () => Deno.open(fifo));
    const found = files.current();
    await clock.advance(SEARCH_MS);
    assertEquals((await found).programs, [path]);
    Deno.openSync(fifo, { write: true, read: true }).close();
    using _ = Deno.openSync(fifo, { write: true, read: true });
    for (const file of await Promise.all(hanging)) file.close();
    await Promise.all(searches);
  },
});
