import { assertEquals } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { rejectedWith } from "../base/testing/faults.ts";
import { denoConn } from "../net/deno/conn.ts";
import { socketPair } from "../net/testing/socket_pair.ts";
import { endingOnAbort, untilAborted } from "./cancel.ts";
import { Link } from "./link.ts";

Deno.test("work is awaited until its signal is aborted", async () => {
  const abort = new AbortController();
  assertEquals(await untilAborted(abort.signal, Promise.resolve(1)), 1);
  const waiting = untilAborted(abort.signal, new Promise(() => {}));
  abort.abort();
  assertEquals(await rejectedWith(waiting), "connectFailed");
  assertEquals(await rejectedWith(untilAborted(abort.signal, Promise.resolve(1))), "connectFailed");
});

Deno.test("an abort ends the link, also if it came before, and so does a failure", async () => {
  for (const how of ["before", "during", "failure"] as const) {
    const [conn, peer] = await socketPair();
    const link = new Link(denoConn(conn), "localhost", realClock);
    const abort = new AbortController();
    if (how === "before") abort.abort();
    const work = how === "failure"
      ? () => Promise.reject(new Error("failed"))
      : () => new Promise<void>(() => {});
    const outcome = endingOnAbort(link, abort.signal, work).catch((error) => error.message);
    if (how === "during") abort.abort();
    assertEquals(await outcome, how === "failure" ? "failed" : "cannot connect: cancelled");
    assertEquals([link.isOver, await peer.read(new Uint8Array(1))], [true, null]);
    peer.close();
  }
});
