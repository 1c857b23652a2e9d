/** The embedded event loop: when it waits elsewhere, who wakes it, and that the others on its thread have their turns. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { EmbeddedLoop } from "./embedded_loop.ts";
import { Libc } from "../../linux/libc.ts";
import { Loop, type Tick } from "../../linux/loop.ts";
import { FakeHost } from "../testing/fake_host.ts";

/** Runs `act` in a turn of the loop. */
const turn = (act: (self: Tick) => void): Tick => ({
  queued: false,
  run() {
    act(this);
  },
});

Deno.test("a loop without anything to do waits elsewhere, as long as it may", async () => {
  const host = new FakeHost();
  const hosted = host.hosted();
  await host.untilQuiet();
  assertEquals(host.waits, [500]);
  const { polls } = host;
  host.timeIsUp();
  await host.untilQuiet();
  // It looked around once, and went back.
  assertEquals([host.waits, host.polls - polls], [[500, 500], 1]);
  await hosted.stop();
});

Deno.test("a turn asked for from outside wakes a loop that waits elsewhere", async () => {
  const host = new FakeHost();
  const hosted = host.hosted();
  await host.untilQuiet();
  const ran = Promise.withResolvers<void>();
  hosted.again(turn(() => ran.resolve()));
  assert(!host.isElsewhere);
  await ran.promise;
  await host.untilQuiet();
  // The call that woke it is over: it isn't reported for ever.
  assertEquals(host.waits, [500, 500]);
  await hosted.stop();
});

Deno.test("a turn asked for by a turn is run without a wait elsewhere", async () => {
  const host = new FakeHost();
  const hosted = host.hosted();
  await host.untilQuiet();
  let left = 10;
  const done = Promise.withResolvers<void>();
  hosted.again(turn((self) => {
    if (--left > 0) hosted.again(self);
    else done.resolve();
  }));
  await done.promise;
  await host.untilQuiet();
  assertEquals(host.waits, [500, 500]);
  await hosted.stop();
});

Deno.test("a loop that is always busy goes elsewhere for a moment every few milliseconds", async () => {
  const host = new FakeHost();
  host.msPerPoll = 1;
  const hosted = host.hosted();
  await host.untilQuiet();
  const before = { waits: host.waits.length, polls: host.polls };
  const done = Promise.withResolvers<{ moments: number[]; turns: number }>();
  let runs = 0;
  hosted.again(turn((self) => {
    if (++runs < 1_000) return hosted.again(self);
    const moments = host.waits.slice(before.waits);
    done.resolve({ moments, turns: host.polls - before.polls });
  }));
  const { moments, turns } = await done.promise;
  assert(moments.every((waitMs) => waitMs === 0), `waits of ${[...new Set(moments)]}`);
  // It has 4 ms at a time, and each turn took one.
  assert(moments.length >= turns / 6, `${moments.length} moments in ${turns} turns`);
  assert(moments.length <= turns / 4, `${moments.length} moments in ${turns} turns`);
  await hosted.stop();
});

Deno.test("stop ends a loop that waits elsewhere, one that is busy, and one that has ended", async () => {
  for (const isBusy of [false, true]) {
    const host = new FakeHost();
    const hosted = host.hosted();
    await host.untilQuiet();
    let runs = 0;
    const started = Promise.withResolvers<void>();
    if (isBusy) {
      hosted.again(turn((self) => {
        if (++runs > 10) started.resolve();
        hosted.again(self);
      }));
      await started.promise;
    }
    const stopping = hosted.stop();
    const again = hosted.stop();
    assert(host.isEventfdOpen, "it ended while its caller was still running");
    await Promise.all([stopping, again]);
    assertEquals([host.isEventfdOpen, host.open, host.isElsewhere], [false, 0, false]);
    await hosted.finished;
    const { polls } = host;
    await hosted.stop();
    await new Promise((resolve) => setImmediate(resolve));
    assertEquals(host.polls, polls);
  }
});

Deno.test("a watcher's bug comes out of the loop, and ends it", async () => {
  const host = new FakeHost();
  const hosted = host.hosted();
  await host.untilQuiet();
  hosted.again(turn(() => {
    throw new Error("a bug, made by a test");
  }));
  await assertRejects(() => hosted.finished, Error, "a bug, made by a test");
  const { polls } = host;
  await new Promise((resolve) => setImmediate(resolve));
  assertEquals([host.isEventfdOpen, host.isElsewhere, host.polls], [false, false, polls]);
});

Deno.test("a thread that is not given its turn holds the loop for a moment only", async () => {
  const host = new FakeHost();
  host.isCrowded = true;
  const hosted = host.hosted();
  await host.untilQuiet();
  let ran = 0;
  const after = async (ms: number) => {
    hosted.again(turn(() => ran++));
    await host.clock.advance(ms - 1);
    const before = ran;
    await host.clock.advance(1);
    return [before, ran];
  };
  // The first time it may be that nothing happened; from then on it is known why nobody came back.
  assertEquals(await after(50), [0, 1]);
  await new Promise((resolve) => setImmediate(resolve));
  assertEquals(await after(1), [1, 2]);
  assertEquals(host.waits, [500]);
  // Given its turn at last, it is relied on as before.
  host.isCrowded = false;
  host.timeIsUp();
  await host.untilQuiet();
  assertEquals(host.waits.at(-1), 500);
  assertEquals(await hosted.stop(), true);
  assertEquals(host.clock.pending, 0);
});

Deno.test("a stop waits one second for a thread that is still in its wait, and reports if that was not enough", async () => {
  const host = new FakeHost();
  host.isCrowded = true;
  const hosted = host.hosted();
  await host.untilQuiet();
  const stopping = hosted.stop();
  await host.clock.advance(1_000);
  assertEquals([await stopping, host.isEventfdOpen], [false, true]);
  host.timeIsUp();
  await hosted.finished;
  assertEquals([await hosted.stop(), host.isEventfdOpen, host.clock.pending], [true, false, 0]);
});

Deno.test({
  name: "with every thread for blocking work taken, the loop goes on",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const sleeper = Deno.dlopen("libc.so.6", {
      usleep: { parameters: ["u32"], result: "i32", nonblocking: true },
    });
    const libc = new Libc();
    const hosted = new EmbeddedLoop(new Loop(libc), libc, realClock);
    let left = 64; // of which 32 run at a time
    const sleeping = Array.from({ length: left }, async () => {
      await sleeper.symbols.usleep(700_000);
      left--;
    });
    const fd = libc.eventfd();
    for (let i = 0; i < 10; i++) {
      const reported = Promise.withResolvers<void>();
      const ready = () => {
        libc.settle(fd);
        reported.resolve();
      };
      if (i === 0) hosted.loop.watch(fd, { ready });
      else hosted.loop.rewatch(fd, { ready });
      setTimeout(() => libc.wake(fd));
      await reported.promise;
    }
    assert(left >= 32, `${64 - left} had ended`);
    hosted.loop.forget(fd);
    libc.close(fd);
    await Promise.all(sleeping);
    sleeper.close();
    await hosted.stop();
    libc[Symbol.dispose]();
  },
});

Deno.test({
  name: "while ours are busy, Deno's sockets and timers on this thread have their turns",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const ANSWERS = 100;
    /**
     * Several times what so many answers need, and half of what they would need if Deno looked at its
     * sockets as it does by itself: once in 61 of our turns.
     */
    const TURNS_MAX = 5_000;
    const libc = new Libc();
    const hosted = new EmbeddedLoop(new Loop(libc), libc, realClock);
    let turns = 0;
    let isEnough = false;
    const starved = Promise.withResolvers<never>();
    hosted.again(turn((self) => {
      if (isEnough) return;
      // A turn with work to do, so that a few of them are too long for the others to wait.
      for (const end = libc.now() + 1; libc.now() < end;);
      if (++turns > TURNS_MAX) starved.reject(new Error("the others starve"));
      else hosted.again(self);
    }));
    const echo = async () => {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const options = { hostname: "127.0.0.1", port: listener.addr.port };
      const [client, server] = await Promise.all([Deno.connect(options), listener.accept()]);
      const buffer = new Uint8Array(10);
      for (let i = 0; i < ANSWERS; i++) {
        await client.write(new Uint8Array(3));
        await server.write(buffer.subarray(0, (await server.read(buffer))!));
        assertEquals(await client.read(buffer), 3);
      }
      client.close();
      server.close();
    };
    const timer = async () => {
      for (let i = 0; i < 10; i++) await new Promise((resolve) => setTimeout(resolve));
    };
    await Promise.race([Promise.all([echo(), timer()]), starved.promise]);
    assert(turns > 0);
    isEnough = true;
    await hosted.stop();
    libc[Symbol.dispose]();
  },
});
