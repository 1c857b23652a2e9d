/** WebSockets over HTTP/2. */
import { assertEquals } from "@std/assert";
import type { Fault } from "../base/fault.ts";
import { onConns } from "../net/testing/fake_conn.ts";
import { FLAG, FRAME } from "./frames.ts";
import { block, frame, requestFields } from "./testing/frames.ts";
import { http2Fixture } from "./testing/server_fixture.ts";

const encode = (text: string) => new TextEncoder().encode(text);

const CHAT = [...requestFields("CONNECT", "/chat"), [":protocol", "websocket"]] as const;

/** `Sec-WebSocket-Accept` of this key. */
async function acceptOf(key: string): Promise<string> {
  const text = encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest("SHA-1", text))));
}

onConns("a WebSocket over HTTP/2 is a tunnel on its stream", async (pair) => {
  const { connect } = http2Fixture(async (exchange) => {
    const out = exchange.respond(101, "Switching Protocols");
    out.line("Upgrade", "websocket");
    out.line(
      "Sec-WebSocket-Accept",
      await acceptOf(exchange.head.fields.get("sec-websocket-key")!),
    );
    const conn = await exchange.upgrade();
    const buffer = new Uint8Array(3);
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      await conn.write(buffer.subarray(0, count));
    }
    await conn.closeWrite();
    conn.close();
  }, pair);
  const { client } = await connect();
  await client.send(frame(FRAME.headers, FLAG.endHeaders, 1, block(CHAT)));
  const head = (await client.next())!;
  assertEquals(client.blocks.lines(head.payload), [":status: 200"]);
  await client.data(1, "hello");
  await client.data(1, "!", true);
  const { body, end } = await client.response();
  assertEquals([body, end], ["hello!", "end"]);
});

onConns("a WebSocket whose upstream answers wrongly, or is reset by its client", async (pair) => {
  const ended = Promise.withResolvers<string>();
  const { connect } = http2Fixture(async (exchange) => {
    const out = exchange.respond(101, "Switching Protocols");
    const key = exchange.head.fields.get("sec-websocket-key")!;
    const isRight = exchange.head.path === "/right";
    out.line("Sec-WebSocket-Accept", isRight ? await acceptOf(key) : "bm9uc2Vuc2U=");
    const conn = await exchange.upgrade();
    await conn.read(new Uint8Array(9)).catch((error) => ended.resolve((error as Fault).fault));
  }, pair);
  const { client } = await connect();
  await client.send(frame(FRAME.headers, FLAG.endHeaders, 1, block(CHAT)));
  assertEquals((await client.response()).lines[0], ":status: 502");
  const right = [...requestFields("CONNECT", "/right"), [":protocol", "websocket"]] as const;
  await client.send(frame(FRAME.headers, FLAG.endHeaders, 3, block(right)));
  for (let one = await client.next(); one!.type !== "headers"; one = await client.next());
  await client.send(frame(FRAME.resetStream, 0, 3, new Uint8Array([0, 0, 0, 8])));
  assertEquals(await ended.promise, "clientReset");
});
