import { assert, assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { Deadlines } from "../net/deadlines.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { Body, type BodyRules, isBuffered } from "./body.ts";
import { BufferedConn } from "./buffered_conn.ts";
import { CHUNKED, type Framing, UNTIL_CLOSE } from "./framing.ts";
import { HeadWriter } from "./head_writer.ts";

const RULES: BodyRules = {
  ...{ side: "request", waitMs: 1_000, rateMin: 0 },
  ...{ lateFault: "requestTimeout", cutFault: "badRequest" },
};
const bytes = (text: string) => new TextEncoder().encode(text);

/** A body that arrives from `far`, and the events that its owner received. */
function fixture(pair: MakePair, framing: Framing, rules: Partial<BodyRules> = {}) {
  const clock = new ManualClock();
  const [near, far] = pair();
  const io = new BufferedConn(near, {
    deadlines: new Deadlines(clock),
    writeMs: 1_000,
    faults: { reset: "clientReset", slowWrite: "slowReader" },
  });
  const told: string[] = [];
  const body = new Body(io, framing, { ...RULES, ...rules }, {
    beforeBodyWait: () => void told.push("wait"),
    bodyEnded: () => told.push("ended"),
  });
  return { clock, far, io, body, told };
}

/** All of a body as text. */
async function textOf(body: Body): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const view = await body.read();
    if (view === undefined) return text;
    text += decoder.decode(view, { stream: true });
  }
}

onConns("a body of a known length ends there, and leaves what follows", async (pair) => {
  const { far, io, body, told } = fixture(pair, 5);
  await far.write(bytes("hello, next"));
  assertEquals([body.length, body.left, body.ended], [5, 5, false]);
  assertEquals(await textOf(body), "hello");
  assertEquals([body.left, body.received, body.ended, io.input.length], [0, 5, true, 6]);
  assertEquals(told, ["wait", "ended"]);
});

onConns("a chunked body ends with its last chunk, and has its trailers", async (pair) => {
  const { far, body } = fixture(pair, CHUNKED);
  await far.write(bytes("3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n"));
  assertEquals([body.length, await textOf(body), body.received], [undefined, "abcde", 5]);
  assertEquals(body.trailers?.get("x-sum"), "5");
});

onConns("an end is the end of a body that has no other, and cuts any other one", async (pair) => {
  for (const [framing, result] of [[UNTIL_CLOSE, "abc"], [9, "badRequest"]] as const) {
    const { far, body } = fixture(pair, framing);
    await far.write(bytes("abc"));
    await far.closeWrite();
    if (framing === UNTIL_CLOSE) assertEquals(await textOf(body), result);
    else assertEquals((await assertRejects(() => textOf(body), Fault)).fault, result);
  }
});

onConns("a body that is silent for too long is late", async (pair) => {
  const { clock, far, body } = fixture(pair, 9);
  await far.write(bytes("abc"));
  await body.read();
  const reading = assertRejects(() => body.read(), Fault);
  await clock.advance(2_000);
  assertEquals((await reading).fault, "requestTimeout");
});

onConns("a body that comes a byte at a time is late below the minimum rate", async (pair) => {
  const { clock, far, body } = fixture(pair, 1_000, { rateMin: 10 });
  const reading = assertRejects(() => textOf(body), Fault);
  for (let second = 0; second < 5; second++) {
    await far.write(bytes("x")).catch(() => {});
    await clock.advance(700);
  }
  assertEquals((await reading).fault, "requestTimeout");
});

onConns("a malformed body stays malformed", async (pair) => {
  const { far, body } = fixture(pair, CHUNKED);
  await far.write(bytes("no number\r\n"));
  const { fault } = await assertRejects(() => body.read(), Fault);
  assertEquals([fault, body.broken?.fault], ["badRequest", "badRequest"]);
  await assertRejects(() => body.read(), Fault);
});

onConns("a body that is here as a whole is copied at once", async (pair) => {
  const { far, io, body, told } = fixture(pair, 5);
  const out = new HeadWriter();
  assertEquals([isBuffered(io, 5), body.copyAllTo(out)], [false, false]);
  await far.write(bytes("hello"));
  await io.fill();
  assert(isBuffered(io, 5) && body.copyAllTo(out));
  assertEquals(new TextDecoder().decode(out.view()), "hello");
  assertEquals([body.ended, body.received, told], [true, 5, ["ended"]]);
  out.release();
});

onConns("a message without payload has a body that has ended", async (pair) => {
  const { body } = fixture(pair, 0);
  assertEquals([body.none, body.ended, await body.read()], [true, true, undefined]);
});
