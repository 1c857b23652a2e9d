/**
 * The embedded event loop: when it waits in another thread, what wakes it, and that Deno's own loop still
 * runs on its thread.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { EmbeddedLoop } from "./embedded_loop.ts";
import { Libc } from "../../linux/libc.ts";
import { Loop, type Tick } from "../../linux/loop.ts";
import { FakeHost } from "../testing/fake_host.ts";

/** Runs `act` in a tick of the loop. */
const tick = (act: (self: Tick) => void): Tick => ({
  queued: false,
  run() {
    act(this);
  },
});

/** Stops a loop of the real kernel for certain: its other thread may get no core for longer than a stop waits. */
async function ended(embedded: EmbeddedLoop): Promise<void> {
  for (let stops = 1; !await embedded.stop(); stops++) assert(stops < 20, "the loop does not end");
}

Deno.test("a loop without anything to do waits in another thread, as long as it may", async () => {
  const host = new FakeHost();
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  assertEquals(host.waits, [500]);
  const { polls } = host;
  host.endWait();
  await host.untilQuiet();
  // It polled once, and waits again.
  assertEquals([host.waits, host.polls - polls], [[500, 500], 1]);
  await embedded.stop();
});

Deno.test("a tick that is queued from outside wakes a loop that waits in another thread", async () => {
  const host = new FakeHost();
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  const ran = Promise.withResolvers<void>();
  embedded.again(tick(() => ran.resolve()));
  assert(!host.isWaiting);
  await ran.promise;
  await host.untilQuiet();
  // The wake was handled: it is not reported again.
  assertEquals(host.waits, [500, 500]);
  await embedded.stop();
});

Deno.test("a tick that is queued by a tick runs without a wait in another thread", async () => {
  const host = new FakeHost();
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  let left = 10;
  const done = Promise.withResolvers<void>();
  embedded.again(tick((self) => {
    if (--left > 0) embedded.again(self);
    else done.resolve();
  }));
  await done.promise;
  await host.untilQuiet();
  assertEquals(host.waits, [500, 500]);
  await embedded.stop();
});

Deno.test("a loop that is always busy yields to Deno's loop every few milliseconds", async () => {
  const host = new FakeHost();
  host.msPerPoll = 1;
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  const before = { waits: host.waits.length, polls: host.polls };
  const done = Promise.withResolvers<{ yields: number[]; ticks: number }>();
  let runs = 0;
  embedded.again(tick((self) => {
    if (++runs < 1_000) return embedded.again(self);
    const yields = host.waits.slice(before.waits);
    done.resolve({ yields, ticks: host.polls - before.polls });
  }));
  const { yields, ticks } = await done.promise;
  assert(yields.every((waitMs) => waitMs === 0), `waits of ${[...new Set(yields)]}`);
  // It runs for 4 ms at a time, and each tick took one.
  assert(yields.length >= ticks / 6, `${yields.length} yields in ${ticks} ticks`);
  assert(yields.length <= ticks / 4, `${yields.length} yields in ${ticks} ticks`);
  await embedded.stop();
});

Deno.test("stop ends a loop that waits, one that is busy, and one that has ended", async () => {
  for (const isBusy of [false, true]) {
    const host = new FakeHost();
    const embedded = host.embeddedLoop();
    await host.untilQuiet();
    let runs = 0;
    const started = Promise.withResolvers<void>();
    if (isBusy) {
      embedded.again(tick((self) => {
        if (++runs > 10) started.resolve();
        embedded.again(self);
      }));
      await started.promise;
    }
    const stopping = embedded.stop();
    const again = embedded.stop();
    assert(host.isEventfdOpen, "it ended while its caller was still running");
    await Promise.all([stopping, again]);
    assertEquals([host.isEventfdOpen, host.open, host.isWaiting], [false, 0, false]);
    await embedded.finished;
    const { polls } = host;
    await embedded.stop();
    await new Promise((resolve) => setImmediate(resolve));
    assertEquals(host.polls, polls);
  }
});

Deno.test("a bug in a tick ends the loop, which rejects with it", async () => {
  const host = new FakeHost();
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  embedded.again(tick(() => {
    throw new Error("a bug, made by a test");
  }));
  await assertRejects(() => embedded.finished, Error, "a bug, made by a test");
  const { polls } = host;
  await new Promise((resolve) => setImmediate(resolve));
  assertEquals([host.isEventfdOpen, host.isWaiting, host.polls], [false, false, polls]);
});

Deno.test("a waiting thread that gets no CPU time delays the loop only for a moment", async () => {
  const host = new FakeHost();
  host.isStarved = true;
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  let ran = 0;
  const after = async (ms: number) => {
    embedded.again(tick(() => ran++));
    await host.clock.advance(ms - 1);
    const before = ran;
    await host.clock.advance(1);
    return [before, ran];
  };
  // The first time it may be that nothing happened; from then on the thread is known to be starved.
  assertEquals(await after(50), [0, 1]);
  await new Promise((resolve) => setImmediate(resolve));
  assertEquals(await after(1), [1, 2]);
  assertEquals(host.waits, [500]);
  // As soon as the thread runs again, the loop relies on it as before.
  host.isStarved = false;
  host.endWait();
  await host.untilQuiet();
  assertEquals(host.waits.at(-1), 500);
  assertEquals(await embedded.stop(), true);
  assertEquals(host.clock.pending, 0);
});

Deno.test("a stop waits one second for a thread that is still in its wait, and reports if that was not enough", async () => {
  const host = new FakeHost();
  host.isStarved = true;
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  const stopping = embedded.stop();
  await host.clock.advance(1_000);
  assertEquals([await stopping, host.isEventfdOpen], [false, true]);
  host.endWait();
  await embedded.finished;
  assertEquals([await embedded.stop(), host.isEventfdOpen, host.clock.pending], [true, false, 0]);
});

Deno.test("the time in which the process stood still does not count among those for which a stop waits", async () => {
  const host = new FakeHost();
  host.isStarved = true;
  const due: (() => void)[] = [];
  host.clock.after = (_, callback) => {
    due.push(callback);
    return () => {};
  };
  const embedded = host.embeddedLoop();
  await host.untilQuiet();
  const stopping = embedded.stop();
  // After a standstill all timers are due at once, before the return of the other thread is reported.
  for (const callback of due.splice(0)) callback();
  await new Promise((resolve) => setImmediate(resolve));
  host.endWait();
  assertEquals(await stopping, true);
});

Deno.test({
  name: "with every thread for blocking work taken, the loop continues",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const blocking = Deno.dlopen("libc.so.6", {
      // pollfd*, nfds_t, int ms
      poll: { parameters: ["buffer", "u32", "i32"], result: "i32", nonblocking: true },
    });
    const libc = new Libc();
    const embedded = new EmbeddedLoop(new Loop(libc), libc, realClock);
    const release = libc.eventfd();
    let blocked = 64; // of which 32 occupy a thread at a time
    const calls = Array.from({ length: blocked }, async () => {
      const POLLIN = 1;
      await blocking.symbols.poll(new Int32Array([release, POLLIN]), 1, -1);
      blocked--;
    });
    const fd = libc.eventfd();
    for (let i = 0; i < 10; i++) {
      const reported = Promise.withResolvers<void>();
      const ready = () => {
        libc.settle(fd);
        reported.resolve();
      };
      if (i === 0) embedded.loop.watch(fd, { ready });
      else embedded.loop.rewatch(fd, { ready });
      // In a turn after this one, when the loop waits.
      setTimeout(() => libc.wake(fd));
      await reported.promise;
    }
    assertEquals(blocked, 64);
    embedded.loop.forget(fd);
    libc.wake(release);
    await Promise.all(calls);
    for (const each of [fd, release]) libc.close(each);
    blocking.close();
    await ended(embedded);
    libc[Symbol.dispose]();
  },
});

Deno.test({
  name: "while our loop is busy, Deno's sockets and timers on this thread are served",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const ANSWERS = 100;
    /**
     * Several times what so many answers need, and half of what they would need if Deno polled its
     * sockets as it does by itself: once in 61 of our ticks.
     */
    const TICKS_MAX = 5_000;
    const libc = new Libc();
    const embedded = new EmbeddedLoop(new Loop(libc), libc, realClock);
    let ticks = 0;
    let isEnough = false;
    const starved = Promise.withResolvers<never>();
    embedded.again(tick((self) => {
      if (isEnough) return;
      // A tick that takes a millisecond, so that the others wait too long after a few of them.
      for (const end = libc.now() + 1; libc.now() < end;);
      if (++ticks > TICKS_MAX) starved.reject(new Error("Deno's sockets and timers are starved"));
      else embedded.again(self);
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
    // Timers are a part of what must be served: the test ends when ten of them have run.
    const timer = async () => {
      for (let i = 0; i < 10; i++) await new Promise((resolve) => setTimeout(resolve));
    };
    await Promise.race([Promise.all([echo(), timer()]), starved.promise]);
    assert(ticks > 0);
    isEnough = true;
    await ended(embedded);
    libc[Symbol.dispose]();
  },
});
