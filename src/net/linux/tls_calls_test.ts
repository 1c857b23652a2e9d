import { assertEquals } from "@std/assert";
import { EAGAIN, EPROTO } from "../../linux/errno.ts";
import type { TlsSession } from "../../linux/tls_session.ts";
import { TlsCalls } from "./tls_calls.ts";

/** A connection of which a test sees what is done, and whose end needs room when `isFull`. */
function bench() {
  const done: string[] = [];
  const state = { isFull: false };
  const session = {
    why: "a reason",
    handshake: () => -EPROTO,
    receive: (buffer: Uint8Array) => buffer.length,
    send: (bytes: Uint8Array, length: number) => (done.push(`send ${bytes[0]}`), length),
    end: () => state.isFull ? -EAGAIN : (done.push("close_notify"), 0),
    free: () => void done.push("free"),
  } as unknown as TlsSession;
  const calls = new TlsCalls({
    shutdownWrite: () => void done.push("FIN"),
    close: () => void done.push("close"),
    reset: () => void done.push("RST"),
    receiveInto: () => (done.push("drop"), 1),
  }, session);
  return { calls, done, state };
}

Deno.test("our end is a close_notify and a FIN after it, which waits for room", () => {
  const { calls, done, state } = bench();
  calls.goOn(5);
  state.isFull = true;
  calls.shutdownWrite(5);
  calls.goOn(5);
  assertEquals(done, []);
  state.isFull = false;
  calls.goOn(5);
  calls.goOn(5);
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
  assertEquals([calls.handshake(), calls.why], [-EPROTO, "a reason"]);
  assertEquals(calls.receiveInto(5, new Uint8Array(3)), 1);
  assertEquals(done, ["drop"]);
});
