/** Exchanges: interim responses, trailers, lengths, WebSockets; over a server, frame by frame. */
import { assertEquals } from "@std/assert";
import { parseFields } from "../http1/fields.ts";
import type { Fields } from "../http1/fields.ts";
import { onConns } from "../net/testing/fake_conn.ts";
import { FLAG, FRAME } from "./frames.ts";
import { block, frame, requestFields } from "./testing/frames.ts";
import { http2Fixture } from "./testing/server_fixture.ts";

const encode = (text: string) => new TextEncoder().encode(text);

onConns("interim responses come before the final one", async (pair) => {
  const { connect } = http2Fixture(async (exchange) => {
    await exchange.write1xx(103, "Early Hints", (out) => out.line("Link", "</a.css>"));
    exchange.respond(204, "No Content");
    await exchange.send(null);
    await exchange.write1xx(103, "Too Late");
  }, pair);
  const { client } = await connect();
  await client.get(1);
  assertEquals(await client.response(), {
    lines: [":status: 103", "link: </a.css>", ":status: 204"],
    body: "",
    end: "end",
  });
});

onConns("hints for a client that does not read are dropped, and not kept for it", async (pair) => {
  const { connect, server } = http2Fixture(async (exchange) => {
    const link = "x".repeat(15_000);
    for (let hints = 0; hints < 32; hints++) {
      await exchange.write1xx(103, "Early Hints", (out) => out.line("Link", link));
    }
    exchange.respond(204, "No Content");
    await exchange.send(null);
  }, pair);
  const { client } = await connect(1_000);
  await client.get(1);
  const { lines, end } = await client.response();
  const hints = lines.filter((line) => line === ":status: 103").length;
  assertEquals([lines.at(-1), end], [":status: 204", "end"]);
  // About 64 KB may wait.
  assertEquals([hints > 0, hints < 10, server.connections], [true, true, 1]);
});

onConns("100 Continue is sent when somebody waits for the body, and once", async (pair) => {
  const { connect } = http2Fixture(async (exchange) => {
    let size = 0;
    for (let part = await exchange.body.read(); part; part = await exchange.body.read()) {
      size += part.length;
    }
    exchange.respond(200, "OK");
    await exchange.send(encode(String(size)));
  }, pair);
  const { client } = await connect();
  await client.post(1, "/", [["expect", "100-continue"]]);
  const interim = (await client.next())!;
  assertEquals(client.blocks.lines(interim.payload), [":status: 100"]);
  await client.data(1, "he");
  await client.data(1, "llo", true);
  assertEquals((await client.response()).body, "5");
});

onConns("trailers of both sides", async (pair) => {
  let sum: string | undefined;
  const { connect } = http2Fixture(async (exchange) => {
    while (await exchange.body.read() !== undefined);
    sum = exchange.body.trailers?.get("x-sum");
    const bytes = encode("X-Took: 5\r\nConnection: close\r\n\r\n");
    const trailers = parseFields(bytes, 0, bytes.length, 9, "response") as Fields;
    exchange.respond(200, "OK");
    const parts = [encode("body")];
    await exchange.send({
      length: undefined,
      trailers,
      read: () => Promise.resolve(parts.pop()),
    });
  }, pair);
  const { client } = await connect();
  await client.post(1);
  await client.data(1, "x");
  const trailers = block([["x-sum", "7"]]);
  await client.send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, trailers));
  const { lines, body, end } = await client.response();
  assertEquals([lines, body, end, sum], [[":status: 200", "x-took: 5"], "body", "end", "7"]);
});

onConns("HEAD, 204 and 304 have no body; a length is what the handler says", async (pair) => {
  const { connect } = http2Fixture(async (exchange) => {
    const status = Number(exchange.head.path.slice(1));
    exchange.respond(status, "");
    await exchange.send(status === 201 ? null : encode("body"));
  }, pair);
  const { client } = await connect();
  const responses: string[][] = [];
  for (
    const [id, method, path] of [[1, "HEAD", "/200"], [3, "GET", "/204"], [5, "GET", "/304"], [
      7,
      "GET",
      "/201",
    ]] as const
  ) {
    const fields = block(requestFields(method, path));
    await client.send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, fields));
    const { lines, body } = await client.response();
    responses.push([...lines, body]);
  }
  assertEquals(responses, [
    [":status: 200", "content-length: 4", ""],
    [":status: 204", ""],
    [":status: 304", "content-length: 4", ""],
    [":status: 201", "content-length: 0", ""],
  ]);
});

onConns("a body that is shorter or longer than it says is cut", async (pair) => {
  const { connect, errors, faults } = http2Fixture(async (exchange) => {
    const parts = [encode("12345")];
    exchange.respond(200, "OK");
    await exchange.send({
      length: exchange.head.path === "/short" ? 9 : 3,
      read: () => Promise.resolve(parts.pop()),
    });
  }, pair);
  const { client } = await connect();
  await client.get(1, "/short");
  assertEquals((await client.response()).end, "resetStream 2");
  await client.get(3, "/long");
  assertEquals((await client.response()).end, "resetStream 2");
  assertEquals([faults, errors.length], [["responseCut"], 1]);
});

onConns("the rest of a request that is answered already is taken for a while", async (pair) => {
  const { connect, pass } = http2Fixture(async (exchange) => {
    exchange.respond(413, "Content Too Large");
    await exchange.send(encode("no"));
  }, pair);
  const { client } = await connect();
  await client.post(1);
  assertEquals((await client.response()).body, "no");
  await client.data(1, "a little more", true);
  await client.post(3);
  assertEquals((await client.response()).body, "no");
  await pass(3_000);
  assertEquals((await client.response()).end, "resetStream 0");
});
