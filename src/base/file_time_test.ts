/** The deadline of file operations. */
import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "./clock.ts";
import { FILE_MS, FILE_SILENT, inFileTime } from "./file_time.ts";

Deno.test("a file operation that does not complete rejects at its deadline, and one that completes does not", async () => {
  const clock = new ManualClock();
  const never = new Promise<never>(() => {});
  const late = assertRejects(() => inFileTime(never, clock), Error, FILE_SILENT);
  await clock.advance(FILE_MS);
  await late;
  const sooner = assertRejects(() => inFileTime(never, clock, 5), Error, FILE_SILENT);
  await clock.advance(5);
  await sooner;
  assertEquals(await inFileTime(Promise.resolve(7), clock), 7);
  assertEquals(clock.pending, 0);
});

Deno.test("a process that stood still, longer than the deadline, reads the outcome that came meanwhile", async () => {
  const clock = new StandingClock();
  const work = Promise.withResolvers<number>();
  const outcome = inFileTime(work.promise, clock);
  // When it goes on, its timers are called before anything is read.
  clock.goOn();
  work.resolve(7);
  assertEquals(await outcome, 7);

  const silent = assertRejects(() => inFileTime(new Promise(() => {}), clock), Error, FILE_SILENT);
  for (let part = 0; part < 100; part++) clock.goOn();
  await silent;
});

/** A clock of a process that stands still until the next timer is overdue, again and again. */
class StandingClock extends ManualClock {
  readonly #due: (() => void)[] = [];

  override after(_ms: number, callback: () => void): () => void {
    this.#due.push(callback);
    return () => {};
  }

  /** Calls what is overdue. */
  goOn(): void {
    for (const callback of this.#due.splice(0)) callback();
  }
}
