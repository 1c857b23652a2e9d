/** Which descriptors of a thread are open, as another thread sees it. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Address } from "../base/address.ts";
import type { Pipe } from "./kernel.ts";
import { Libc } from "./libc.ts";
import { closeLibc } from "./open_libc.ts";
import { addressOfSockaddr, ipSockaddr } from "./sockaddr.ts";
import { closeMarked, markOver, marksForNext, newMarks, TrackedLibc } from "./tracked_libc.ts";
import { onLinux } from "./testing/on_linux.ts";

const OPTIONS = { backlog: 8, userTimeoutMs: 0 } as const;
const LOOPBACK = ipSockaddr("127.0.0.1", 0)!;

const encode = (text: string) => new TextEncoder().encode(text);

const marked = (marks: Uint8Array) => marks.reduce((sum, mark) => sum + mark, 0);

Deno.test("each descriptor is marked from its opening to its closing", onLinux, () => {
  const marks = newMarks();
  const libc = new TrackedLibc(marks);
  const before = marked(marks);
  const listener = libc.listen(LOOPBACK, OPTIONS);
  const near = libc.connect(libc.localAddress(listener), OPTIONS);
  const far = libc.accept(listener);
  const pipe = libc.pipe();
  assert(typeof pipe !== "number");
  const all = [listener, near, far, pipe.read, pipe.write];
  assertEquals([marked(marks) - before, all.every((fd) => marks[fd] === 1)], [all.length, true]);
  libc.reset(near);
  for (const fd of [listener, far, pipe.read, pipe.write]) libc.close(fd);
  assertEquals(marked(marks), before);
  libc[Symbol.dispose]();
  assertEquals(marked(marks), 0);
});

Deno.test("what a dead thread left open is closed, and nothing else", onLinux, async () => {
  const marks = newMarks();
  const dead = new TrackedLibc(marks);
  using living = new Libc();
  const [lost, kept] = [dead, living].map((libc) => libc.listen(LOOPBACK, OPTIONS));
  const connect = (address: Address) =>
    Deno.connect({ hostname: "127.0.0.1", port: (address as Address & { kind: "tcp" }).port });
  const [lostAt, keptAt] = [lost!, kept!].map((fd) => addressOfSockaddr(living.localAddress(fd)));
  (await connect(lostAt!)).close();
  closeMarked(living, marks);
  assertEquals(marks.indexOf(1), -1);
  // While another test starts a program, that has a copy of the descriptor for a moment.
  const isConnected = () => connect(lostAt!).then((conn) => conn.close() ?? true, () => false);
  for (let tries = 0; tries < 1_000 && await isConnected(); tries++);
  await assertRejects(() => connect(lostAt!), Deno.errors.ConnectionRefused);
  (await connect(keptAt!)).close();
  living.close(kept!);
  // A thread that has died has no library open any more.
  closeLibc();
});

Deno.test(
  "a thread that was replaced and goes on uses nothing of what has its numbers now",
  onLinux,
  async () => {
    const marks = newMarks();
    const old = new TrackedLibc(marks);
    using living = new Libc();
    markOver(marks);
    // The same numbers in the hands of another thread: a listening socket, and a connection with bytes to read.
    const listener = living.listen(LOOPBACK, OPTIONS);
    const { port } = addressOfSockaddr(living.localAddress(listener)) as Address & { kind: "tcp" };
    using peer = await Deno.connect({ hostname: "127.0.0.1", port });
    const theirs = living.accept(listener);
    using waiting = await Deno.connect({ hostname: "127.0.0.1", port });
    await peer.write(encode("for another"));
    const pipe = living.pipe() as Pipe;
    const secret = encode("for somebody else");
    const uses: Record<string, () => unknown> = {
      poll: () => old.poll(0),
      watch: () => old.watch(theirs, 1),
      watchShared: () => old.watchShared(listener, 1),
      accept: () => old.accept(listener),
      connect: () => old.connect(living.localAddress(listener), OPTIONS),
      bind: () => old.bind(LOOPBACK, OPTIONS),
      listen: () => old.listen(LOOPBACK, OPTIONS),
      pipe: () => old.pipe(),
      takeError: () => old.takeError(theirs),
      receive: () => old.receive(theirs),
      receiveInto: () => old.receiveInto(theirs, new Uint8Array(8)),
      send: () => old.send(theirs, secret, 0, secret.length),
      "splice out": () => old.splice(pipe.read, theirs, 8),
      "splice in": () => old.splice(theirs, pipe.write, 8),
      settle: () => old.settle(theirs),
    };
    for (const [name, use] of Object.entries(uses)) {
      assertThrows(use, Error, "this thread was replaced", name);
    }
    for (const fd of [theirs, listener]) {
      old.unwatch(fd);
      old.shutdownWrite(fd);
      old.shutdown(fd);
      old.close(fd);
      old.reset(fd);
    }
    // All of it is as it was: the bytes, both directions, and the client in the queue.
    assertEquals(living.receive(theirs), "for another".length);
    living.send(theirs, encode("an answer"), 0, 9);
    const answer = new Uint8Array(64);
    const count = await peer.read(answer);
    assertEquals(new TextDecoder().decode(answer.subarray(0, count!)), "an answer");
    const next = living.accept(listener);
    assert(next >= 0, `the client that waits: ${next}`);
    waiting.close();
    for (const fd of [theirs, next, listener, pipe.read, pipe.write]) living.close(fd);
    closeLibc();
  },
);

Deno.test("the next thread has marks of its own, with what it was given before its start", () => {
  const marks = newMarks();
  assertEquals(marksForNext(marks), marks);
  markOver(marks);
  marks[7] = 1;
  const next = marksForNext(marks);
  assertEquals([next === marks, marked(next), next[7]], [false, 1, 1]);
});
