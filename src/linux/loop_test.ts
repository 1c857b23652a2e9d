import { assert, assertEquals } from "@std/assert";
import { type Kernel, READABLE } from "./kernel.ts";
import { Loop, type Tick, type Watcher } from "./loop.ts";
import { ipSockaddr } from "./sockaddr.ts";
import { FakeKernel } from "./testing/fake_kernel.ts";

const OPTIONS = { backlog: 8, userTimeoutMs: 0 } as const;

/** A loop with sockets of two clients, in the order in which changes will be reported. */
function sockets(): { kernel: FakeKernel; loop: Loop; listener: number; fds: [number, number] } {
  const kernel = new FakeKernel();
  const listener = kernel.listen(ipSockaddr("127.0.0.1", 1)!, OPTIONS);
  kernel.client(1);
  kernel.client(1);
  return {
    kernel,
    loop: new Loop(kernel),
    listener,
    fds: [kernel.accept(listener), kernel.accept(listener)],
  };
}

const record = (into: string[], name: string): Watcher => ({
  ready: (_, flags) => into.push(`${name} ${(flags & READABLE) !== 0 ? "readable" : "writable"}`),
});

Deno.test("an event of a socket that was closed does not reach the next socket with the same descriptor", () => {
  const { kernel, loop, listener, fds: [first, second] } = sockets();
  const reported: string[] = [];
  loop.watch(first, {
    ready() {
      // The event of `second` is in the same batch; its descriptor is reused before that event is handled.
      loop.forget(second);
      kernel.close(second);
      kernel.client(1);
      const successor = kernel.accept(listener);
      assertEquals(successor, second);
      loop.watch(successor, record(reported, "successor"));
    },
  });
  loop.watch(second, record(reported, "second"));
  loop.tick();
  assertEquals(reported, []);
  loop.tick();
  assertEquals(reported, ["successor writable"]);
});

Deno.test("a watcher that was removed is not called", () => {
  const { loop, fds: [first] } = sockets();
  const reported: string[] = [];
  loop.watch(first, record(reported, "first"));
  loop.forget(first);
  loop.tick();
  assertEquals(reported, []);
});

Deno.test("a tick that is queued by a tick runs after those of all others", () => {
  const loop = new Loop(new FakeKernel());
  const ran: string[] = [];
  const tick = (name: string, times: number): Tick => ({
    queued: false,
    run() {
      ran.push(name);
      if (--times > 0) loop.again(this);
    },
  });
  const greedy = tick("greedy", 3);
  loop.again(greedy);
  loop.again(greedy); // queueing it twice has the effect of once
  loop.again(tick("modest", 1));
  for (let i = 0; i < 4; i++) loop.tick();
  assertEquals(ran, ["greedy", "modest", "greedy", "greedy"]);
});

Deno.test("after a long tick what has become ready meanwhile goes first, and every queued tick runs", () => {
  const { kernel, loop, fds: [first] } = sockets();
  const ran: string[] = [];
  loop.watch(first, { ready: () => ran.push("message") });
  loop.tick();
  const long = (name: string): Tick => ({
    queued: false,
    run() {
      ran.push(name);
      kernel.time += 0.4;
      if (name === "a") kernel.changed(first); // something arrives
      loop.again(this);
    },
  });
  for (const name of ["a", "b", "c"]) loop.again(long(name));
  for (let i = 0; i < 3; i++) loop.tick();
  assertEquals(ran.join(" "), "message a b message c a message b c");
});

Deno.test("bulk is alone when all reports of the last 100 ms were postponed", () => {
  const { kernel, loop, fds: [bulk, talk] } = sockets();
  const tick: Tick = { queued: false, run() {} };
  loop.watch(bulk, { ready: () => loop.postpone(tick) });
  const alone = (elapsedMs: number, changed: readonly number[]): boolean => {
    kernel.time += elapsedMs;
    for (const fd of changed) kernel.changed(fd);
    loop.tick();
    return loop.isBulkAlone;
  };
  assert(alone(0, [bulk]), "there was no other socket yet");
  loop.watch(talk, { ready() {} });
  assert(!alone(0, [talk, bulk]), "a message arrived");
  assert(!alone(99, [bulk]));
  assert(alone(1, [bulk]));
  assert(!alone(1, [bulk, talk]), "another message arrived");
});

Deno.test("the loop does not sleep while a tick is queued, nor past a deadline", () => {
  const kernel = new FakeKernel();
  const slept: number[] = [];
  const poll: Kernel["poll"] = (timeoutMs) => {
    slept.push(timeoutMs);
    return 0;
  };
  const loop = new Loop(Object.assign(kernel, { poll }));
  loop.tick();
  loop.after({ due: Infinity, next: undefined, previous: undefined, expire() {} }, 100);
  loop.tick();
  loop.again({ queued: false, run() {} });
  loop.tick();
  assertEquals([slept[0], slept[2]], [500, 0]);
  assert(slept[1]! >= 100 && slept[1]! <= 116);
});

Deno.test("a watcher can ask whether another descriptor may have an event that was not handled yet", () => {
  const { kernel, loop, fds: [first, second] } = sockets();
  const news: boolean[] = [];
  const ask = (fd: number): Watcher => ({ ready: () => news.push(loop.mayHaveNews(fd)) });
  loop.watch(first, ask(second));
  loop.watch(second, ask(first));
  assert(loop.mayHaveNews(first), "before the first tick nothing is known");
  loop.tick();
  assertEquals(news, [true, false]);
  kernel.changed(first);
  loop.tick();
  assertEquals(news.slice(2), [false]);
  assert(loop.mayHaveNews(second), "outside of a tick nothing is known");
});
