/** Which descriptors of a thread are open, as another thread sees it. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Address } from "../base/address.ts";
import { Libc } from "./libc.ts";
import { closeLibc } from "./open_libc.ts";
import { addressOfSockaddr, ipSockaddr } from "./sockaddr.ts";
import { closeMarked, markOver, marksForNext, newMarks, TrackedLibc } from "./tracked_libc.ts";
import { onLinux } from "./testing/on_linux.ts";

const OPTIONS = { backlog: 8, userTimeoutMs: 0 } as const;
const LOOPBACK = ipSockaddr("127.0.0.1", 0)!;

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
  await assertRejects(() => connect(lostAt!), Deno.errors.ConnectionRefused);
  (await connect(keptAt!)).close();
  living.close(kept!);
  // If the thread goes on all the same, it ends before it uses what may be somebody else's by now.
  assertThrows(() => dead.poll(0), Error, "this thread was replaced");
  const others = living.listen(LOOPBACK, OPTIONS);
  dead.close(others);
  dead.reset(others);
  const othersAt = addressOfSockaddr(living.localAddress(others));
  (await connect(othersAt!)).close();
  living.close(others);
  // A thread that has died has no library open any more.
  closeLibc();
});

Deno.test("the next thread has marks of its own, with what it was given before its start", () => {
  const marks = newMarks();
  assertEquals(marksForNext(marks), marks);
  markOver(marks);
  marks[7] = 1;
  const next = marksForNext(marks);
  assertEquals([next === marks, marked(next), next[7]], [false, 1, 1]);
});
