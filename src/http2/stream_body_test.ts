/** The body of a request on a stream: windows are given for what was used alone. */
import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { HeadWriter } from "../http1/head_writer.ts";
import { Deadlines } from "../net/deadlines.ts";
import { StreamBody } from "./stream_body.ts";

const RULES = {
  side: "request",
  waitMs: 5_000,
  rateMin: 100,
  lateFault: "requestTimeout",
  cutFault: "clientReset",
} as const;

function fixture(length?: number, isNone = false) {
  const clock = new ManualClock();
  const told = { used: 0, waits: 0 };
  const body = new StreamBody(length, isNone, RULES, new Deadlines(clock), {
    used: (count) => told.used += count,
    beforeBodyWait: () => told.waits++,
  });
  const add = (text: string) => {
    const bytes = new TextEncoder().encode(`[${text}]`);
    return body.add(bytes, 1, bytes.length - 1);
  };
  return { body, clock, told, add };
}

const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes);

Deno.test("what has come is handed out, and is used when the next part is asked for", async () => {
  const { body, told, add } = fixture();
  add("one");
  assertEquals([text(body.ready()), told.used], ["one", 0]);
  add("three");
  assertEquals([text(await body.read()), told.used], ["three", 3]);
  const next = body.read();
  assertEquals([told.used, told.waits], [8, 1]);
  body.complete();
  assertEquals([await next, body.ended, body.received], [undefined, true, 8]);
});

Deno.test("a whole body is copied at once", () => {
  const { body, told, add } = fixture(5);
  add("he");
  const out = new HeadWriter();
  assertEquals(body.copyAllTo(out), false);
  add("llo");
  body.complete();
  assertEquals([body.copyAllTo(out), text(out.view())], [true, "hello"]);
  assertEquals([body.ended, told.used], [true, 5]);
});

Deno.test("a body is as long as it was declared to be", () => {
  const { body, add } = fixture(4);
  assertEquals([add("12"), body.complete()], [true, false]);
  assertEquals(add("345"), false);
});

Deno.test("what came before a failure is still handed out", async () => {
  const { body, add } = fixture();
  add("first");
  body.fail(new Fault("clientReset"));
  assertEquals(text(await body.read()), "first");
  await assertRejects(() => body.read(), Fault, "reset by client");
});

Deno.test("a client that sends nothing for too long is late", async () => {
  const { body, clock } = fixture();
  const reading = body.read();
  reading.catch(() => {});
  for (let ms = 0; ms < 6_000; ms += 250) await clock.advance(250);
  await assertRejects(() => reading, Fault, "too slowly");
  assertEquals(clock.pending, 0);
});

Deno.test("a client that sends a byte now and then is too slow as well", async () => {
  const { body, clock, add } = fixture();
  let parts = 0;
  const reading = (async () => {
    for (;; parts++) await body.read();
  })();
  reading.catch(() => {});
  for (let ms = 0; ms < 20_000; ms += 1_000) {
    add("x");
    for (let tick = 0; tick < 4; tick++) await clock.advance(250);
  }
  await assertRejects(() => reading, Fault, "too slowly");
  assertEquals(parts < 10, true);
});

Deno.test("after the consumer has ended, payload is used at once and thrown away", () => {
  const { body, told, add } = fixture();
  add("one");
  body.cancel();
  assertEquals(told.used, 3);
  add("more");
  assertEquals(told.used, 7);
});

Deno.test("a request whose head was its last frame has no body", async () => {
  const { body } = fixture(undefined, true);
  assertEquals([body.none, body.length, body.ended, await body.read()], [true, 0, true, undefined]);
});

Deno.test("a body that was declared to be empty is none, and its last frame may still come", () => {
  const { body, add } = fixture(0);
  assertEquals([body.none, body.isComplete], [true, false]);
  assertEquals([add("x"), fixture(0).body.complete()], [false, true]);
});
