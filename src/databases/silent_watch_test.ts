import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { NEVER_ABORTED } from "../base/deadline.ts";
import { Fault } from "../base/fault.ts";
import { type Silent, SilentWatch } from "./silent_watch.ts";

class Fixture {
  readonly clock = new ManualClock();
  readonly ends: string[] = [];
  readonly made: (Silent & { isOver: boolean })[] = [];
  isReachable = true;
  readonly watch = new SilentWatch(
    () => {
      if (!this.isReachable) return Promise.reject(new Error("refused"));
      const silent: Silent & { isOver: boolean } = {
        onEnd: () => {},
        isOver: false,
        abort() {
          this.isOver = true;
        },
      };
      this.made.push(silent);
      return Promise.resolve(silent);
    },
    this.clock,
    (reason) => this.ends.push(reason),
  );

  async keepFor(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      await this.watch.keep(NEVER_ABORTED);
      await this.clock.advance(1_000);
    }
  }
}

Deno.test("one connection is kept, and replaced before the server would end it", async () => {
  const fixture = new Fixture();
  await fixture.keepFor(50);
  assertEquals(fixture.made.map(({ isOver }) => isOver), [true, true, false]);
  assertEquals(fixture.ends, []);
});

Deno.test("its end is told, and a server that lives is left alone for a minute then", async () => {
  const fixture = new Fixture();
  await fixture.keepFor(5);
  fixture.made[0]!.onEnd(new Fault("responseCut", "it has gone"));
  assertEquals(fixture.ends, ["response was cut short: it has gone"]);
  await fixture.keepFor(60);
  assertEquals(fixture.made.length, 1);
  await fixture.keepFor(1);
  assertEquals(fixture.made.length, 2);
});

Deno.test("a server that takes no connection is tried again at the next check", async () => {
  const fixture = new Fixture();
  fixture.isReachable = false;
  await fixture.keepFor(3);
  fixture.isReachable = true;
  await fixture.keepFor(1);
  assertEquals([fixture.made.length, fixture.ends], [1, []]);
});

Deno.test("after its end there is none, and no end is told", async () => {
  const fixture = new Fixture();
  await fixture.keepFor(1);
  fixture.watch.close();
  fixture.made[0]!.onEnd(new Fault("responseCut", "late"));
  await fixture.keepFor(100);
  assertEquals([fixture.made.length, fixture.made[0]!.isOver, fixture.ends], [1, true, []]);
});
