/** An exchange that is made of a `Request` and answers with a `Response`. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { rejectedWith } from "../../base/testing/faults.ts";
import { Deadlines } from "../../net/deadlines.ts";
import { FetchExchange } from "./fetch_exchange.ts";

const clock = new ManualClock();
const LIMITS = { bodyMs: 5_000, headBytesMax: 2_000 };

function exchangeOf(request: Request, limits = LIMITS): Promise<FetchExchange> {
  return FetchExchange.of(request, "192.0.2.1", new Deadlines(clock), limits);
}

async function textOf(body: FetchExchange["body"]): Promise<string> {
  let text = "";
  for (let part = await body.read(); part; part = await body.read()) {
    text += new TextDecoder().decode(part);
  }
  return text;
}

Deno.test("the head has the host and the path of the URL, without fields of one hop", async () => {
  const headers = { "te": "trailers", "x-own": "a", "keep-alive": "5" };
  const { head, body, protocol } = await exchangeOf(new Request("https://h.test/a?b", { headers }));
  assertEquals([head.method, head.path, head.host, protocol], [
    "GET",
    "/a?b",
    "h.test",
    "HTTP/2.0",
  ]);
  assertEquals([head.fields.get("x-own"), head.fields.get("te"), head.fields.get("keep-alive")], [
    ...["a", undefined, undefined],
  ]);
  assertEquals([body.none, await textOf(body)], [true, ""]);
});

Deno.test("a head that is too large is a fault", async () => {
  const request = new Request("https://h.test/", { headers: { "x-own": "a".repeat(3_000) } });
  await assertRejects(() => exchangeOf(request), Fault);
});

Deno.test("a body is passed on, and an empty stream is none", async () => {
  const posted = await exchangeOf(
    new Request("https://h.test/", { method: "POST", body: "hello" }),
  );
  assertEquals([posted.body.none, await textOf(posted.body)], [false, "hello"]);
  const empty = new ReadableStream({ start: (controller) => controller.close() });
  const none = await exchangeOf(new Request("https://h.test/", { method: "POST", body: empty }));
  assertEquals([none.body.none, none.body.length], [true, 0]);
});

Deno.test("a body that does not come in time is a fault of the client", async () => {
  const silent = new ReadableStream<Uint8Array>();
  const pending = exchangeOf(new Request("https://h.test/", { method: "POST", body: silent }));
  await clock.advance(100);
  const failed = rejectedWith((await pending).body.read());
  await clock.advance(5_000);
  assertEquals(await failed, "requestTimeout");
});

Deno.test("a body in memory is sent with its length; HEAD and 204 get none", async () => {
  const bytes = new TextEncoder().encode("hello");
  const exchange = await exchangeOf(new Request("https://h.test/"));
  exchange.respond(200, "OK").line("X-Own", "a");
  const sent = exchange.send(bytes);
  const response = await exchange.response;
  assertEquals([response.status, response.headers.get("x-own")], [200, "a"]);
  assertEquals([response.headers.get("content-length"), await response.text()], ["5", "hello"]);
  await sent;
  assertEquals([exchange.sentBytes, exchange.status, exchange.responseStarted], [5, 200, true]);
  assertThrows(() => exchange.respond(200, "OK"), TypeError);
  for (const [method, status, length] of [["HEAD", 200, "5"], ["GET", 204, null]] as const) {
    const each = await exchangeOf(new Request("https://h.test/", { method }));
    each.respond(status, "");
    await each.send(bytes);
    const { headers, body } = await each.response;
    assertEquals([headers.get("content-length"), body], [length, null]);
  }
});

Deno.test("a stream that fails breaks the response, and `send` rejects with its fault", async () => {
  const exchange = await exchangeOf(new Request("https://h.test/"));
  exchange.respond(200, "OK");
  const fault = new Fault("responseCut");
  const sent = rejectedWith(
    exchange.send({ length: undefined, read: () => Promise.reject(fault) }),
  );
  await assertRejects(async () => await (await exchange.response).text());
  assertEquals(await sent, "responseCut");
});

Deno.test("a client that leaves is noticed once, before and during the response", async () => {
  const leaving = new AbortController();
  const exchange = await exchangeOf(new Request("https://h.test/", { signal: leaving.signal }));
  const gone: string[] = [];
  exchange.whenGone = ({ fault }) => gone.push(fault);
  leaving.abort();
  assertEquals([gone, exchange.gone?.fault], [["clientReset"], "clientReset"]);
  const reading = await exchangeOf(new Request("https://h.test/"));
  reading.respond(200, "OK");
  const never = { length: undefined, read: () => new Promise<undefined>(() => {}) };
  const sent = rejectedWith(reading.send(never));
  await (await reading.response).body!.cancel();
  assertEquals([await sent, reading.gone?.fault], ["clientReset", "clientReset"]);
});

Deno.test("an exchange that is aborted has no response, and an upgrade is not possible", async () => {
  const exchange = await exchangeOf(new Request("https://h.test/"));
  exchange.abort(new Fault("internalError"));
  assertEquals(await rejectedWith(exchange.response), "internalError");
  assertEquals(await rejectedWith(exchange.upgrade()), "notImplemented");
  let isClosed = false;
  exchange.companion = { close: () => isClosed = true };
  assertEquals([isClosed, exchange.companion], [true, undefined]);
});
