import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { BodySource } from "../http1/body.ts";
import { KEPT_MAX, KEPT_TOTAL_MAX, RequestBody } from "./body.ts";
import { NameSet } from "./headers.ts";

const NONE = new NameSet([]);

/** A client that sends these parts, one for each read. */
function client(...parts: readonly number[]): BodySource {
  const left = [...parts];
  return {
    length: undefined,
    get ended() {
      return left.length === 0;
    },
    read() {
      const size = left.shift();
      return Promise.resolve(size === undefined ? undefined : new Uint8Array(size).fill(7));
    },
  };
}

async function sizes(source: BodySource): Promise<number[]> {
  const all: number[] = [];
  for (let part = await source.read(); part !== undefined; part = await source.read()) {
    all.push(part.length);
  }
  return all;
}

Deno.test("a small body can be read again and again, and is discarded at the end", async () => {
  const total = { bytes: 0 };
  const body = new RequestBody(client(3, 4), 100, true, total);
  assertEquals(await sizes(body.begin(NONE)), [3, 4]);
  assertEquals(await sizes(body.begin(NONE)), [3, 4]);
  assertEquals([body.replayable, body.received, total.bytes], [true, 7, 7]);
  body.release();
  assertEquals(total.bytes, 0);
});

Deno.test("a body beyond the limit of one request can be read once, and takes no memory", async () => {
  const total = { bytes: 0 };
  const body = new RequestBody(client(KEPT_MAX, 1, 5), 1e6, true, total);
  assertEquals(await sizes(body.begin(NONE)), [KEPT_MAX, 1, 5]);
  assertEquals([body.replayable, total.bytes], [false, 0]);
});

Deno.test("beyond the limit of all requests together no more bodies are kept", async () => {
  const total = { bytes: KEPT_TOTAL_MAX - 4 };
  const kept = new RequestBody(client(4), 100, true, total);
  const passing = new RequestBody(client(1), 100, true, total);
  assertEquals(await sizes(kept.begin(NONE)), [4]);
  assertEquals(await sizes(passing.begin(NONE)), [1]);
  assertEquals([kept.replayable, passing.replayable], [true, false]);
});

Deno.test("a body that must not be sent twice is not kept, but no byte is lost before the first one is sent", async () => {
  const total = { bytes: 0 };
  const body = new RequestBody(client(1), 100, false, total);
  assertEquals(body.replayable, true);
  assertEquals(await sizes(body.begin(NONE)), [1]);
  assertEquals([body.replayable, total.bytes], [false, 0]);
});

Deno.test("bytes that an ended attempt was still reading go to the next one", async () => {
  const arrival = Promise.withResolvers<Uint8Array>();
  const parts = [Promise.resolve(new Uint8Array(2)), arrival.promise];
  const source: BodySource = {
    length: undefined,
    get ended() {
      return parts.length === 0;
    },
    read: () => parts.shift() ?? Promise.resolve(undefined),
  };
  const body = new RequestBody(source, 100, true, { bytes: 0 });
  const first = body.begin(NONE);
  assertEquals((await first.read())?.length, 2);
  const pending = first.read();
  const second = sizes(body.begin(NONE));
  arrival.resolve(new Uint8Array(3));
  await assertRejects(() => pending, Fault);
  assertEquals(await second, [2, 3]);
});

Deno.test("a body over its maximum ends with a fault of the client", async () => {
  const body = new RequestBody(client(60, 60), 100, true, { bytes: 0 });
  const error = await assertRejects(() => sizes(body.begin(NONE)), Fault);
  assertEquals(error.fault, "bodyTooLarge");
});

/** A client whose parts arrive when the test sends them. */
function slowClient() {
  const parts: PromiseWithResolvers<Uint8Array | undefined>[] = [];
  let asked = 0;
  const part = (at: number) => parts[at] ??= Promise.withResolvers();
  return {
    source: { length: undefined, read: () => part(asked++).promise } satisfies BodySource,
    say: (at: number, size: number) =>
      part(at).resolve(size === 0 ? undefined : new Uint8Array(size)),
    fail: (at: number, error: unknown) => part(at).reject(error),
    get asked() {
      return asked;
    },
  };
}

Deno.test("an attempt that was ended reads nothing more, whatever it was waiting for", async () => {
  const { source, say } = slowClient();
  const body = new RequestBody(source, 1e6, true, { bytes: 0 });
  const first = body.begin(NONE);
  const pending = first.read();
  body.end();
  await assertRejects(() => pending, Fault);
  // More than is kept, and no attempt that sends it.
  say(0, KEPT_MAX);
  say(1, 1);
  say(2, 0);
  assertEquals([first.ready?.(), first.ended], [undefined, false]);
  await assertRejects(() => first.read(), Fault);
  assertEquals(body.replayable, true);
  const second = body.begin(NONE);
  assertEquals((await second.read())?.length, KEPT_MAX);
  const overflow = second.read();
  assertEquals([(await overflow)?.length, body.replayable], [1, false]);
  assertEquals(await second.read(), undefined);
});

/** Lets every promise settle that waits for nothing outside the process. */
const settled = () => new ManualClock().advance(0);

Deno.test("a part that does not fit waits until an attempt reads it", async () => {
  const { source, say } = slowClient();
  const total = { bytes: 0 };
  const body = new RequestBody(source, 1e6, true, total);
  say(0, 10);
  const first = body.begin(NONE);
  assertEquals((await first.read())?.length, 10);
  const pending = first.read();
  first.cancel?.();
  await assertRejects(() => pending, Fault);
  say(1, KEPT_MAX);
  await settled();
  assertEquals([body.received, body.replayable, total.bytes], [10 + KEPT_MAX, true, 10]);
  say(2, 0);
  assertEquals(await sizes(body.begin(NONE)), [10, KEPT_MAX]);
  assertEquals([body.replayable, total.bytes], [false, 0]);
});

Deno.test("a client that fails while no attempt reads is reported to the next attempt only", async () => {
  const { source, fail } = slowClient();
  const body = new RequestBody(source, 100, true, { bytes: 0 });
  const pending = body.begin(NONE).read();
  body.end();
  await assertRejects(() => pending, Fault);
  fail(0, new Fault("clientReset"));
  await settled();
  const error = await assertRejects(() => body.begin(NONE).read(), Fault);
  assertEquals(error.fault, "clientReset");
});
