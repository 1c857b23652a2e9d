/** The behaviour of the real kernel that the fake kernel imitates. */
import { assert, assertEquals } from "@std/assert";
import { unusedPort } from "../base/testing/ports.ts";
import { EAGAIN, ECONNREFUSED, ECONNRESET, EPIPE } from "./errno.ts";
import { FAILED, PEER_ENDED, READABLE, WRITABLE } from "./kernel.ts";
import { Libc } from "./libc.ts";
import { endpointOf, ipSockaddr } from "./sockaddr.ts";
import { onLinux } from "./testing/on_linux.ts";

const OPTIONS = { backlog: 8, userTimeoutMs: 0 } as const;
const WAIT_MS = 20_000;
/** Error numbers that only a bug of ours can cause (asm-generic/errno.h). */
const [EBADF, ENOTSOCK] = [9, 88];

/** Two connected sockets on loopback and their listener. */
class Pair implements Disposable {
  readonly libc = new Libc();
  readonly listener = this.libc.listen(ipSockaddr("127.0.0.1", 0)!, OPTIONS);
  readonly near: number;
  readonly far: number;

  constructor() {
    this.near = this.libc.connect(this.libc.localAddress(this.listener), OPTIONS);
    this.far = this.libc.accept(this.listener);
    assert(this.near > 0 && this.far > 0);
  }

  /** The flags that are reported next for `near`. */
  report(): number {
    assertEquals(this.libc.poll(WAIT_MS), 1);
    assertEquals(this.libc.eventFd(0), this.near);
    return this.libc.eventFlags(0);
  }

  [Symbol.dispose](): void {
    for (const fd of [this.near, this.far, this.listener]) this.libc.close(fd);
    this.libc[Symbol.dispose]();
  }
}

Deno.test({
  name: "a socket is reported once per change, with the mark it was given",
  ...onLinux,
  fn() {
    using pair = new Pair();
    const { libc, near, far } = pair;
    libc.watch(near, 77);
    assertEquals(pair.report() & (READABLE | WRITABLE), WRITABLE);
    assertEquals(libc.eventMark(0), 77);
    assertEquals(libc.poll(0), 0);
    libc.send(far, new TextEncoder().encode("xyz"), 1, 3);
    assert((pair.report() & READABLE) !== 0);
    assertEquals(libc.receive(near), 2);
    assertEquals([...libc.scratch.subarray(0, 2)], [121, 122]);
    assertEquals(libc.receive(near), -EAGAIN);
    libc.shutdownWrite(far);
    assert((pair.report() & PEER_ENDED) !== 0);
    assertEquals([libc.peek(near), libc.receive(near)], [0, 0]);
  },
});

Deno.test({
  name: "a reset is reported as a failure, after the bytes that came before it",
  ...onLinux,
  fn() {
    const pair = new Pair();
    const { libc, near, far, listener } = pair;
    libc.watch(near, 1);
    libc.send(far, new Uint8Array(10), 0, 10);
    libc.reset(far);
    let flags = 0;
    while ((flags & FAILED) === 0) flags |= pair.report();
    assertEquals([libc.receive(near), libc.receive(near)], [10, -ECONNRESET]);
    assertEquals(libc.send(near, new Uint8Array(1), 0, 1), -EPIPE);
    for (const fd of [near, listener]) libc.close(fd);
    libc[Symbol.dispose]();
  },
});

Deno.test({
  name: "the error of a refused connect is returned once",
  ...onLinux,
  fn() {
    using libc = new Libc();
    const fd = libc.connect(ipSockaddr("127.0.0.1", unusedPort())!, OPTIONS);
    libc.watch(fd, 1);
    assertEquals(libc.poll(WAIT_MS), 1);
    assert((libc.eventFlags(0) & FAILED) !== 0);
    assertEquals([libc.takeError(fd), libc.takeError(fd)], [-ECONNREFUSED, 0]);
    libc.close(fd);
  },
});

Deno.test({
  name: "bytes move through a pipe of the size that was asked for",
  ...onLinux,
  fn() {
    using pair = new Pair();
    const { libc, near, far } = pair;
    const pipe = libc.pipe();
    assert(typeof pipe !== "number" && pipe.capacity >= 65_536);
    assertEquals(libc.splice(near, pipe.write, pipe.capacity), -EAGAIN);
    libc.send(far, new TextEncoder().encode("around"), 0, 6);
    libc.watch(near, 1);
    pair.report();
    assertEquals(libc.splice(near, pipe.write, pipe.capacity), 6);
    assertEquals(libc.splice(pipe.read, far, 6), 6); // and back to where it came from
    libc.poll(WAIT_MS);
    libc.peek(near);
    assertEquals(libc.receive(near), 6);
    assertEquals(new TextDecoder().decode(libc.scratch.subarray(0, 6)), "around");
    for (const fd of [pipe.read, pipe.write]) libc.close(fd);
  },
});

Deno.test({
  name: "both ends of a connection know each other's address",
  ...onLinux,
  fn() {
    using pair = new Pair();
    const { libc, near, far } = pair;
    assertEquals(endpointOf(libc.localAddress(near)), endpointOf(libc.peerAddress(far)));
    assertEquals(libc.peerAddress(pair.listener).length, 0);
  },
});

Deno.test({
  name: "receiveInto fills the given buffer, and reports an end and no bytes like receive",
  ...onLinux,
  fn() {
    using pair = new Pair();
    const { libc, near, far } = pair;
    const whole = new Uint8Array(10);
    assertEquals(libc.receiveInto(near, whole), -EAGAIN);
    libc.send(far, new TextEncoder().encode("abcdef"), 0, 6);
    libc.watch(near, 1);
    pair.report();
    // Only the part of a subarray is written.
    assertEquals(libc.receiveInto(near, whole.subarray(2, 6)), 4);
    assertEquals([...whole], [0, 0, 97, 98, 99, 100, 0, 0, 0, 0]);
    assertEquals(libc.receiveInto(near, whole.subarray(6)), 2);
    assertEquals(new TextDecoder().decode(whole.subarray(2, 8)), "abcdef");
    libc.shutdownWrite(far);
    pair.report();
    assertEquals(libc.receiveInto(near, whole), 0);
  },
});

Deno.test({
  name: "a wait in another thread ends with an event, with a wake and with its time-out",
  ...onLinux,
  async fn() {
    using pair = new Pair();
    const { libc, near, far } = pair;
    // Far longer than a test may take, so the time-out does not end these waits.
    const forever = 100_000_000;
    libc.watch(near, 1);
    await libc.pollElsewhere(forever);
    assert((pair.report() & WRITABLE) !== 0);
    const reported = libc.pollElsewhere(forever);
    libc.send(far, new Uint8Array(3), 0, 3);
    await reported;
    assert((pair.report() & READABLE) !== 0);

    const eventfd = libc.eventfd();
    libc.watch(eventfd, 2);
    const woken = libc.pollElsewhere(forever);
    libc.wake(eventfd);
    await woken;
    assertEquals([libc.poll(0), libc.eventFd(0), libc.eventMark(0)], [1, eventfd, 2]);
    libc.settle(eventfd);
    libc.poll(0); // the settled eventfd is reported once more, as writable
    // Nothing is left to report, so only the time-out can end this wait.
    await libc.pollElsewhere(1);
    assertEquals(libc.poll(0), 0);
    libc.close(eventfd);
  },
});

Deno.test({
  name: "the kernel reports what a peer has acknowledged, although the peer reads nothing",
  ...onLinux,
  fn() {
    const { libc, near, far, listener } = new Pair();
    assertEquals([libc.unacked(far), libc.acked(far)], [0, 0]);
    for (let sent = 1; sent > 0;) sent = libc.send(far, new Uint8Array(65_536), 0, 65_536);
    const [unacked, acked] = [libc.unacked(far), libc.acked(far)];
    assert(unacked > 0 && acked > 10_000, `${unacked} of ${acked}`);
    assert(libc.unacked(-1) < 0 && libc.acked(-1) < 0);
    for (const fd of [near, far, listener]) libc.close(fd);
    libc[Symbol.dispose]();
  },
});

for (const ip of ["127.0.0.1", "::1"]) {
  Deno.test({
    name:
      `a listening socket at ${ip} that ignores clients keeps those in its queue, and the others are refused when it is closed`,
    ...onLinux,
    fn() {
      using libc = new Libc();
      const listener = libc.listen(ipSockaddr(ip, 0)!, OPTIONS);
      const address = libc.localAddress(listener);
      const early = libc.connect(address, OPTIONS);
      assertEquals(libc.ignoreClients(listener), 0);
      const late = libc.connect(address, OPTIONS);
      const accepted = libc.accept(listener);
      assert(accepted > 0);
      assertEquals(libc.accept(listener), -EAGAIN);
      libc.close(listener);
      assertEquals(libc.send(early, new Uint8Array(3), 0, 3), 3);
      assertEquals(libc.receive(accepted), 3);
      // Its kernel asks again.
      libc.watch(late, 1);
      while (libc.poll(WAIT_MS) === 1 && (libc.eventFlags(0) & FAILED) === 0);
      assertEquals(libc.takeError(late), -ECONNREFUSED);
      for (const fd of [early, late, accepted]) libc.close(fd);
    },
  });
}

Deno.test({
  name: "what is no socket cannot ignore clients, and the error says so",
  ...onLinux,
  fn() {
    using libc = new Libc();
    const eventfd = libc.eventfd();
    assertEquals(libc.ignoreClients(eventfd), -ENOTSOCK);
    assertEquals(libc.ignoreClients(-1), -EBADF);
    libc.close(eventfd);
  },
});
