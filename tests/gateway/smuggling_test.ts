/**
 * Request smuggling, end to end: whatever a client sends, no bytes of a request's body or of a refused
 * request become a separate request at the upstream. The upstream is Node's, whose parser is
 * independent of ours.
 */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { readByLlhttp } from "../../src/http1/testing/llhttp.ts";
import {
  mutated,
  random,
  REQUEST_PIECES,
  REQUESTS,
  RESPONSE_PIECES,
  RESPONSES,
} from "../../src/http1/testing/mutations.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { close, type GatewayFixture, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";
import { HIDDEN, recording } from "./recording_upstream.ts";
import { bytesOf } from "./story_client.ts";
import { onBothProtocols, onBothSockets } from "./both_sockets.ts";

const POST = "POST /open HTTP/1.1\r\nHost: a\r\n";
const CHUNKED = "Transfer-Encoding: chunked\r\n";

/**
 * Requests that are refused with an error, after which the connection ends; nothing of them may reach the
 * upstream.
 */
const REFUSED: readonly string[] = [
  `${POST}Content-Length: 6\r\n${CHUNKED}\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}${CHUNKED}Content-Length: 6\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}Content-Length: 3\r\nContent-Length: 0\r\n\r\n${HIDDEN}`,
  `${POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n${HIDDEN}`,
  ...["3, 3", "+3", "-3", "0x3", "", "3 3", "99999999999999999999", "٣", "3\x0b", "1e1"].map((
    value,
  ) => `${POST}Content-Length: ${value}\r\n\r\n${HIDDEN}`),
  `${POST}Content-Length : 3\r\n\r\n${HIDDEN}`,
  `${POST}Content-Length\t: 3\r\n\r\n${HIDDEN}`,
  ...[
    "xchunked",
    '"chunked"',
    "chunked;q=1",
    "identity",
    "chunked, identity",
    "\x0bchunked",
    "",
    ",",
  ]
    .map((value) => `${POST}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n${HIDDEN}`),
  `${POST}${CHUNKED}${CHUNKED}\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}Content-Length: 3\t\r\n\r\n${HIDDEN}`,
  `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}X: y\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`,
  `${POST}X: a\0b\r\nContent-Length: 0\r\n\r\n${HIDDEN}`,
  `${POST} Content-Length: 3\r\n\r\n${HIDDEN}`,
  `${POST}Host: b\r\nContent-Length: 0\r\n\r\n${HIDDEN}`,
  `${POST}\nContent-Length: 3\r\n\r\n${HIDDEN}`,
  `POST /open HTTP/1.0\r\nHost: a\r\n${CHUNKED}\r\n0\r\n\r\n${HIDDEN}`,
  `POST  /open HTTP/1.1\r\nHost: a\r\n\r\n${HIDDEN}`,
  `POST /open  HTTP/1.1\r\nHost: a\r\n\r\n${HIDDEN}`,
  `POST /open HTTP/1.2\r\nHost: a\r\n\r\n${HIDDEN}`,
  `POST /open HTTP/2.0\r\nHost: a\r\n\r\n${HIDDEN}`,
  `POST /open HTTP/1.1 \r\nHost: a\r\n\r\n${HIDDEN}`,
  `POST /open\r\nHost: a\r\n\r\n${HIDDEN}`,
  `POST /open HTTP/1.1\nHost: a\n\n${HIDDEN}`,
];

/** Bodies with invalid chunks: the request may have begun, and must not succeed. */
const BAD_CHUNKS: readonly string[] = [
  "0x3\r\nabc\r\n0\r\n\r\n",
  "+3\r\nabc\r\n0\r\n\r\n",
  "3 \r\nabc\r\n0\r\n\r\n",
  " 3\r\nabc\r\n0\r\n\r\n",
  "3\nabc\r\n0\r\n\r\n",
  "3\r\nabc\n0\r\n\r\n",
  "3\r\nabcd\r\n0\r\n\r\n",
  "3\r\nabc\r0\r\n\r\n",
  "3;\nabc\r\n0\r\n\r\n",
  "3;a=b\rabc\r\n0\r\n\r\n",
  "3\rabc\r\n0\r\n\r\n",
  "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
  "100000000000000003\r\nabc\r\n0\r\n\r\n",
  "0\r\nX: y\n\r\n",
  "0\r\n\n",
  "0\n\n",
  "0\r\nContent-Length: 3\r\n\r\n",
  "0\r\n X: y\r\n\r\n",
];

/** Reads until the peer has finished or has cut the connection; one character for each byte. */
async function hearUntilCut(conn: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(65_536);
  let text = "";
  try {
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      text += String.fromCharCode(...buffer.subarray(0, count));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  return text;
}

/**
 * Sends `text`, then the end, and returns all that is received, however the connection ends. A client that has ended
 * its side is soon given up, so that the clocks of these gateways stand still.
 */
async function send(fixture: GatewayFixture, text: string): Promise<string> {
  const conn = await fixture.connect();
  await sendText(conn, text).catch(() => {});
  await conn.closeWrite().catch(() => {});
  const answer = await withTestDeadline(JSON.stringify(text), hearUntilCut(conn));
  close(conn);
  return answer;
}

function statuses(answer: string): string[] {
  return [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status!);
}

onBothSockets(
  "a request that two recipients could frame differently is refused, and nothing of it arrives",
  async ({ start }) => {
    await using up = await recording();
    await using fixture = await start([up.port], { clock: new ManualClock() });
    await fixture.open(0);
    for (const text of REFUSED) {
      const all = statuses(await send(fixture, text));
      assertEquals(all.length, 1, JSON.stringify(text));
      assert(["400", "501", "505"].includes(all[0]!), `${all}: ${JSON.stringify(text)}`);
    }
    assertEquals(up.seen, []);
    assertEquals(fixture.doubts, []);
  },
);

onBothSockets(
  "a body with invalid chunks ends the request, and none of its bytes becomes another request",
  async ({ start }) => {
    await using up = await recording();
    await using fixture = await start([up.port], { clock: new ManualClock() });
    await fixture.open(0);
    for (const body of BAD_CHUNKS) {
      // A method that may be repeated, and one that may not.
      for (const method of ["POST", "PUT"]) {
        const head = `${method} /open HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n`;
        const all = statuses(await send(fixture, `${head}${body}${HIDDEN}`));
        assert(all.length <= 1 && all[0] !== "200", `${all}: ${JSON.stringify(body)}`);
      }
    }
    assertEquals(up.seen, []);
    assertEquals(fixture.doubts, []);
  },
);

onBothSockets(
  "requests inside bodies stay part of the body, on connections that many requests share",
  async ({ start }) => {
    await using up = await recording();
    await using fixture = await start([up.port], { clock: new ManualClock() });
    await fixture.open(0);
    const hex = HIDDEN.length.toString(16);
    const whole = [
      `${POST}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
      `${POST}${CHUNKED}\r\n${hex}\r\n${HIDDEN}\r\n0\r\n\r\n`,
      `${POST}${CHUNKED}\r\n000${hex};x=y\r\n${HIDDEN}\r\n000;z\r\nX: y\r\n\r\n`,
      `GET /open HTTP/1.1\r\nHost: a\r\nContent-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
      `HEAD /open HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n${hex}\r\n${HIDDEN}\r\n0\r\n\r\n`,
      `DELETE /open HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n0\r\n\r\n`,
      `OPTIONS /open HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
    ];
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all(whole.map((text) => send(fixture, text + text)));
      for (const answer of all) assertEquals(statuses(answer), ["200", "200"]);
    }
    assertEquals(up.seen.length, 3 * 2 * whole.length);
    assertEquals(up.seen.filter((line) => !/^[A-Z]+ \/open /.test(line)), []);
  },
);

/** Errors of llhttp for what we accept: unknown methods, unusual chunk extensions. */
const LAXER = new Set(["HPE_INVALID_METHOD", "HPE_STRICT"]);

onBothSockets(
  "of mutated requests the upstream receives what llhttp reads without the proxy, or less",
  async ({ start }) => {
    const next = random(11);
    await using up = await recording();
    await using fixture = await start([up.port], { clock: new ManualClock() });
    await fixture.open(0);
    let passed = 0;
    for (let round = 0; round < 600; round++) {
      const text = mutated(next, REQUESTS, REQUEST_PIECES);
      await send(fixture, text);
      const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
      const { messages, error } = readByLlhttp("REQUEST", bytes);
      const direct = messages.filter(({ whole }) => whole)
        .map(({ method, target, body }) =>
          `${method} ${target.replace(/^http:\/\/[^/]*\/?/i, "/")} ${body}`
        );
      const through = up.seen.splice(0);
      if (error !== undefined && LAXER.has(error)) continue;
      // In order, although a request that we refuse may be missing.
      let at = 0;
      for (const request of through) {
        at = direct.indexOf(request, at) + 1;
        assert(at > 0, JSON.stringify([text, direct, through]));
      }
      passed += through.length;
    }
    assert(passed > 100, `only ${passed} requests got through`);
  },
);

/** One response as a client of HTTP/1.1 reads it, with llhttp; undefined if there is none. */
async function readByHttp1(fixture: GatewayFixture, about: string) {
  const conn = await fixture.connect();
  await sendText(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const answer = await withTestDeadline(about, hearUntilCut(conn));
  close(conn);
  const { messages, error } = readByLlhttp("RESPONSE", bytesOf(answer));
  assertEquals([messages.length <= 1, error], [true, undefined], JSON.stringify([about, answer]));
  return messages[0];
}

async function readByHttp2(fixture: GatewayFixture, about: string) {
  const client = await fixture.client();
  const asked = await client.begin("GET", "/");
  const { status, body, end } = await withTestDeadline(about, asked.answer());
  close(client.conn);
  return status === 0 ? undefined : { status, body, whole: end === "whole" };
}

onBothProtocols(
  "of mutated responses a client reads one valid response, or none",
  async ({ start, protocol }) => {
    const next = random(12);
    const hidden = "HTTP/1.1 200 Hidden\r\nContent-Length: 6\r\n\r\nhidden";
    let text = "";
    await using up = rawUpstream(async (conn) => {
      await readUntil(conn);
      await sendText(conn, text);
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    let passed = 0;
    for (let round = 0; round < 400; round++) {
      text = mutated(next, RESPONSES, RESPONSE_PIECES) + hidden;
      const read = protocol === "HTTP/2" ? readByHttp2 : readByHttp1;
      const got = await read(fixture, text);
      const about = JSON.stringify([text, got]);
      if (got === undefined || got.status === 502) continue;
      passed++;
      const direct = readByLlhttp("RESPONSE", bytesOf(text), true).messages[0]!;
      assertEquals(got.status, direct.status, about);
      assert(direct.body.startsWith(got.body), about);
      if (got.whole && direct.whole) assertEquals(got.body, direct.body, about);
    }
    assert(passed > 50, `only ${passed} responses got through`);
  },
);
