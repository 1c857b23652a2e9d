/** Special cases of HTTP that a client of HTTP/2 sees in its own way: see `edges_test.ts`. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { FLAG, FRAME } from "../../src/http2/frames.ts";
import { block, frame, opening, requestFields } from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothSockets } from "./both_sockets.ts";
import { type GatewayFixture, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";
import { mirror } from "./mirror.ts";

type FieldList = readonly (readonly [name: string, value: string])[];

const WHOLE = FLAG.endHeaders | FLAG.endStream;

/** One connection to an opened gateway, on which requests follow each other. */
async function connected(fixture: GatewayFixture) {
  await fixture.open(0);
  const client = new FrameClient<Deno.Conn>(await fixture.connect());
  await client.send(opening());
  let id = -1;
  return {
    /** Sends a request, whose body and trailers are sent if there are any; its response, trailers after the head. */
    async ask(method: string, more: FieldList = [], body = "", trailers: FieldList = []) {
      id += 2;
      const isWhole = body === "" && trailers.length === 0;
      const flags = isWhole ? WHOLE : FLAG.endHeaders;
      const frames = [frame(FRAME.headers, flags, id, block(requestFields(method, "/", more)))];
      const last = trailers.length === 0 ? FLAG.endStream : 0;
      if (!isWhole) frames.push(frame(FRAME.data, last, id, body));
      if (trailers.length > 0) frames.push(frame(FRAME.headers, WHOLE, id, block(trailers)));
      await client.send(...frames);
      return await withTestDeadline(`${method} ${more}`, client.response());
    },
  };
}

/** Answers each request on a connection with the next of `answers`. */
function canned(...answers: readonly string[]) {
  return rawUpstream(async (conn) => {
    for (const answer of answers) {
      if (await readUntil(conn) === "") return;
      await sendText(conn, answer);
    }
    await readUntil(conn);
  });
}

onBothSockets(
  "a response head whose lines end in a bare LF is read, and its connection is used again",
  async ({ start }) => {
    const lf = "HTTP/1.1 200 OK\nX-a: 1\nConnection: keep-alive\nContent-Length: 2\nX-B: 2\n\nhi";
    const early = "HTTP/1.1 103 Early Hints\nLink: </a>\n\n";
    await using up = canned(lf, early + lf, "HTTP/1.1 204 None\nX-a: 3\n\n");
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    const client = await connected(fixture);
    const first = await client.ask("GET");
    assertEquals(first.lines.slice(0, 3), [":status: 200", "x-a: 1", "x-b: 2"]);
    assertEquals([first.body, first.end], ["hi", "end"]);
    const second = await client.ask("GET");
    assertEquals(second.lines.slice(0, 2), [":status: 103", "link: </a>"]);
    assert(second.lines.includes(":status: 200"));
    const third = await client.ask("GET");
    assertEquals(third.lines.slice(0, 2), [":status: 204", "x-a: 3"]);
    assertEquals([third.end, fixture.doubts], ["end", []]);
  },
);

onBothSockets(
  "a bare LF in the chunks of a response is malformed, and resets the stream",
  async ({ start }) => {
    const head = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n";
    for (const body of ["2\nhi\r\n0\r\n\r\n", "2\r\nhi\n0\r\n\r\n", "2\r\nhi\r\n0\r\nX: 1\n\r\n"]) {
      await using up = canned(head + body);
      await using fixture = await start([up.port], { protocol: "HTTP/2" });
      const client = await connected(fixture);
      const { lines, end } = await client.ask("GET");
      assertEquals([lines[0], end], [":status: 200", "resetStream 2"], JSON.stringify(body));
    }
  },
);

onBothSockets(
  "TE: trailers reaches the upstream with its connection option, and trailers come back",
  async ({ start }) => {
    const heads: string[] = [];
    await using up = rawUpstream(async (conn) => {
      for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
        heads.push(head);
        const body = "2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n";
        await sendText(conn, `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
      }
    });
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    const client = await connected(fixture);
    const answer = await client.ask("GET", [["te", "trailers"]]);
    assertEquals([answer.body, answer.lines.at(-1)], ["hi", "grpc-status: 0"]);
    assert(heads[0]!.includes("\r\nTE: trailers\r\nConnection: TE\r\n"), heads[0]);
    await client.ask("GET");
    assert(!/\r\n(te|connection):/i.test(heads[1]!), heads[1]);
  },
);

onBothSockets(
  "of the trailers of a request those pass that the same head would let pass",
  async ({ start }) => {
    await using up = mirror();
    const headers = [["X-Key", "ours"]] as const;
    await using fixture = await start([up.port], { protocol: "HTTP/2", headers });
    const client = await connected(fixture);
    const { body } = await client.ask("POST", [], "hi", [
      ["x-sum", "1"],
      ["x-forwarded-for", "10.0.0.1"],
      ["x-forwarded-port", "1"],
      ["forwarded", "for=10.0.0.1"],
      ["via", "1.1 a"],
      ["authorization", "Basic eA=="],
      ["proxy-authorization", "s"],
      ["cookie", "a=1"],
      ["te", "trailers"],
      ["trailer", "x-key"],
      ["x-key", "theirs"],
      ["grpc-status", "0"],
    ]);
    assertMatch(body, /\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\ngrpc-status: 0\r\n\r\n$/);
  },
);

onBothSockets(
  "Via names HTTP/2, fields of one hop do not pass, and crumbs of cookies are one line",
  async ({ start }) => {
    await using up = mirror();
    await using fixture = await start([up.port], { protocol: "HTTP/2", pseudonym: "failover-1" });
    const client = await connected(fixture);
    const { body } = await client.ask("GET", [
      ["http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"],
      ["proxy-authorization", "Basic eA=="],
      ["cookie", "a=1"],
      ["x-between", "1"],
      ["cookie", "b=2; c=3"],
      ["cookie", ""],
    ]);
    assertMatch(body, /\r\nVia: 2\.0 failover-1\r\n/);
    assert(!/http2-settings|proxy-authorization|connection|upgrade/i.test(body), body);
    assertEquals(body.match(/\r\ncookie: .*\r\n/gi), ["\r\ncookie: a=1; b=2; c=3; \r\n"]);
    // The way goes on from one proxy to the next.
    const again = await client.ask("GET", [["via", "2.0 edge"]]);
    assertMatch(again.body, /\r\nVia: 2\.0 edge, 2\.0 failover-1\r\n/);
    const loop = await client.ask("GET", [["via", "2.0 failover-1"]]);
    assertEquals(loop.lines[0], ":status: 508");
  },
);
