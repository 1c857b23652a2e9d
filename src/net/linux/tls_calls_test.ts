import { assertEquals, assertThrows } from "@std/assert";
import { EAGAIN, ECONNRESET, EINTR, EPROTO } from "../../linux/errno.ts";
import type { TlsSession } from "../../linux/tls_session.ts";
import { TlsCalls } from "./tls_calls.ts";

/** A connection of which a test sees what is done, and whose end needs room when `isFull`. */
function bench() {
  const done: string[] = [];
  const state = { isFull: false, isOver: false };
  const session = {
    why: "a reason",
    isDrained: false,
    handshake: () => -EPROTO,
    receive: (buffer: Uint8Array) => buffer.length,
    send: (bytes: Uint8Array, length: number) => (done.push(`send ${bytes[0]}`), length),
    end: () => state.isFull ? -EAGAIN : (done.push("close_notify"), 0),
    free: () => void done.push("free"),
  } as unknown as TlsSession;
  const calls = new TlsCalls({
    get isOver() {
      return state.isOver;
    },
    shutdownWrite: () => void done.push("FIN"),
    close: () => void done.push("close"),
    reset: () => void done.push("RST"),
    receiveInto: () => (done.push("drop"), 1),
  }, session);
  return { calls, done, state };
}

Deno.test("our end is a close_notify and a FIN after it, which waits for room", () => {
  const { calls, done, state } = bench();
  calls.ready(5, false);
  state.isFull = true;
  calls.shutdownWrite(5);
  calls.ready(5, false);
  assertEquals(done, []);
  state.isFull = false;
  calls.ready(5, false);
  calls.ready(5, false);
  assertEquals(done, ["close_notify", "FIN"]);
});

Deno.test("a connection is freed before its descriptor is closed, and a reset sends no end", () => {
  const one = bench();
  one.calls.close(5);
  assertEquals(one.done, ["close_notify", "free", "close"]);
  const two = bench();
  two.calls.reset(5);
  assertEquals(two.done, ["free", "RST"]);
  const three = bench();
  three.calls.abandon();
  assertEquals(three.done, ["free"]);
});

Deno.test("reads and writes are those of the connection, from the place that is asked for", () => {
  const { calls, done } = bench();
  assertEquals(calls.receiveInto(5, new Uint8Array(3)), 3);
  assertEquals(calls.send(5, new Uint8Array([7, 8, 9]), 0, 2), 2);
  assertEquals(calls.send(5, new Uint8Array([7, 8, 9]), 1, 3), 2);
  assertEquals(done, ["send 7", "send 8"]);
});

Deno.test("after a handshake that has failed the bytes of the peer are not taken for messages", () => {
  const { calls, done } = bench();
  assertEquals([calls.handshake(5), calls.why], [-EPROTO, "a reason"]);
  assertEquals(calls.receiveInto(5, new Uint8Array(3)), 1);
  assertEquals(done, ["drop"]);
});

Deno.test("OpenSSL writes nothing to a descriptor of a thread that was replaced", () => {
  const { calls, done, state } = bench();
  state.isOver = true;
  for (const use of [() => calls.handshake(5), () => calls.send(5, new Uint8Array(3), 0, 2)]) {
    assertThrows(use, Error, "this thread was replaced");
  }
  assertThrows(() => calls.receiveInto(5, new Uint8Array(3)), Error, "this thread was replaced");
  calls.shutdownWrite(5);
  calls.close(5);
  // The kernel's own `close` does nothing then.
  assertEquals(done, ["free", "close"]);
});

/** Calls on a socket from which these counts are received one after another, for a session without data. */
function fed(counts: number[], isMore = () => true) {
  const took: (number | "end")[] = [];
  const session = {
    why: "",
    isDrained: true,
    receive: () => (session.isDrained = true, -EAGAIN),
    feed: (_: Uint8Array, length: number) => {
      took.push(length);
      session.isDrained = !isMore();
    },
    feedEnd: () => void took.push("end"),
  };
  const kernel = { receiveInto: () => counts.shift() ?? -EAGAIN };
  const calls = new TlsCalls(
    kernel as unknown as ConstructorParameters<typeof TlsCalls>[0],
    session as unknown as TlsSession,
  );
  const read = () => calls.receiveInto(5, new Uint8Array(3));
  return { calls, took, read };
}

const FULL = 32 * 1024;

Deno.test("after a short read the socket is asked again only when it was reported", () => {
  const { calls, took, read } = fed([10, 20, 30]);
  assertEquals([read(), read(), calls.mayHold], [-EAGAIN, -EAGAIN, false]);
  assertEquals(took, [10]);
  calls.ready(5, false);
  assertEquals([read(), calls.mayHold], [-EAGAIN, false]);
  assertEquals(took, [10, 20]);
});

Deno.test("one call takes a limited number of bytes, and says that there may be more", () => {
  const { calls, took, read } = fed([FULL, FULL, FULL, FULL, FULL, FULL, 1]);
  assertEquals([read(), calls.mayHold], [-EAGAIN, true]);
  assertEquals(took.length < 4, true);
  while (calls.mayHold) read();
  assertEquals(took, [FULL, FULL, FULL, FULL, FULL, FULL, 1]);
});

Deno.test("the end of the peer is found behind a short read, and an error is passed on", () => {
  const { calls, took, read } = fed([10, 0]);
  calls.ready(5, true);
  assertEquals([read(), calls.mayHold], [-EAGAIN, false]);
  assertEquals(took, [10, "end"]);
  const failing = fed([-EINTR, -ECONNRESET]);
  assertEquals([failing.read(), failing.calls.mayHold, failing.took], [-ECONNRESET, false, []]);
});
