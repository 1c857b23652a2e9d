import { assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { findTriggers, type FoundPrograms } from "./find.ts";
import { Folder } from "./testing/program.ts";
import { FIRST_SEARCH_MS, REFRESH_MS, SEARCH_MS, TriggerFiles } from "./trigger_files.ts";

/** Examinations that end when the test ends them. */
class Looks {
  readonly begun: PromiseWithResolvers<FoundPrograms>[] = [];
  readonly find = (): Promise<FoundPrograms> => {
    const look = Promise.withResolvers<FoundPrograms>();
    this.begun.push(look);
    return look.promise;
  };
}

const nothing: FoundPrograms = { programs: [], errors: [], warnings: [] };
const one: FoundPrograms = { ...nothing, programs: ["/t/1"] };
const two: FoundPrograms = { ...nothing, programs: ["/t/1", "/t/2"] };
const short: FoundPrograms = { ...nothing, errors: ["/t: too many open files"], isShort: true };

function begin() {
  const [clock, looks] = [new ManualClock(), new Looks()];
  return { clock, looks, files: new TriggerFiles("/t", clock, looks.find) };
}

Deno.test("a promotion gets what is there now, although a look was under way before", async () => {
  const { clock, looks, files } = begin();
  const found = files.current();
  looks.begun[0]!.resolve(one);
  await clock.advance(0);
  assertEquals(looks.begun.length, 2);
  looks.begun[1]!.resolve(two);
  assertEquals(await found, two);
  files[Symbol.dispose]();
  assertEquals(clock.pending, 0);
});

Deno.test("a promotion waits one second for the search of its triggers, and then uses the last result", async () => {
  const { clock, looks, files } = begin();
  looks.begun[0]!.resolve(one);
  await clock.advance(0);
  const found = files.current();
  await clock.advance(SEARCH_MS);
  assertEquals(await found, one);
  // The late result is the newest one and is kept.
  looks.begun[1]!.resolve(two);
  await clock.advance(0);
  const later = files.current();
  await clock.advance(SEARCH_MS);
  assertEquals(await later, two);
  files[Symbol.dispose]();
});

Deno.test("a look that failed for a shortage is not believed where another is known", async () => {
  const { clock, looks, files } = begin();
  looks.begun[0]!.resolve(one);
  await clock.advance(0);
  const found = files.current();
  looks.begun[1]!.resolve(short);
  assertEquals(await found, one);
  files[Symbol.dispose]();
});

Deno.test("a promotion reports a shortage if the files were never read", async () => {
  const { clock, looks, files } = begin();
  const found = files.current();
  await clock.advance(FIRST_SEARCH_MS);
  const { programs, errors, isShort } = await found;
  assertEquals([programs, isShort], [[], true]);
  assertMatch(errors[0]!, /^\/t: could not be looked at within 10s$/);
  assertEquals(looks.begun.length, 1);
  files[Symbol.dispose]();
});

Deno.test("files are looked at again while no promotion runs, one look at a time", async () => {
  const { clock, looks, files } = begin();
  await clock.advance(10 * REFRESH_MS);
  assertEquals(looks.begun.length, 1);
  looks.begun[0]!.resolve(one);
  await clock.advance(0);
  await clock.advance(REFRESH_MS);
  assertEquals(looks.begun.length, 2);
  looks.begun[1]!.resolve(two);
  await clock.advance(0);
  const found = files.current();
  await clock.advance(SEARCH_MS);
  assertEquals(await found, two);
  files[Symbol.dispose]();
  assertEquals(clock.pending, 0);
});

Deno.test({
  name: "a promotion does not wait for the threads that hanging names keep busy",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await Folder.make();
    const path = await folder.script("trigger", "exit 0");
    const fifo = await folder.fifo("hangs");
    const clock = new ManualClock();
    const looks: Promise<FoundPrograms>[] = [];
    using files = new TriggerFiles(path, clock, (path) => {
      const look = findTriggers(path);
      looks.push(look);
      return look;
    });
    await looks[0];
    // Each occupies a thread until the other end is opened, as a look-up without an answer does.
    const hanging = Array.from({ length: 64 }, () => Deno.open(fifo));
    const found = files.current();
    await clock.advance(SEARCH_MS);
    assertEquals((await found).programs, [path]);
    Deno.openSync(fifo, { write: true, read: true }).close();
    using _ = Deno.openSync(fifo, { write: true, read: true });
    for (const file of await Promise.all(hanging)) file.close();
    await Promise.all(looks);
  },
});
