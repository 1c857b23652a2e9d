/**
 * Request smuggling from HTTP/2 to HTTP/1.1, end to end: whatever a client puts into frames and fields, its
 * upstream gets exactly one well-formed request of it, or nothing. The upstream is Node's, whose parser is
 * independent of ours.
 */
import { assert, assertEquals } from "@std/assert";
import { FLAG, FRAME } from "../../src/http2/frames.ts";
import { putInteger } from "../../src/http2/hpack_encoder.ts";
import { frame, opening, printed } from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothSockets } from "./both_sockets.ts";
import { close, type GatewayFixture, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";
import { HIDDEN, recording } from "./recording_upstream.ts";
import { bytesOf } from "./story_client.ts";

type FieldList = readonly (readonly [name: string, value: string])[];

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LINES = ` HTTP/1.1\r\nHost: a\r\n\r\n${HIDDEN}`;

/** A header block; unlike that of our encoder it holds every byte as it is, capitals too. */
function blockOf(list: FieldList): Uint8Array {
  return printed((out) => {
    for (const [name, value] of list) {
      out.byte(0);
      for (const text of [name, value]) {
        putInteger(out, 0, 7, text.length);
        out.part(bytesOf(text), 0, text.length);
      }
    }
  });
}

/** The fields of a POST; those in `replaced` take the place of its own. */
function post(more: FieldList = [], replaced: FieldList = []): FieldList {
  const own = [[":method", "POST"], [":scheme", "http"], [":path", "/open"], [":authority", "a"]];
  const pseudo = own.map(([name, value]) => [name!, value!] as const)
    .filter(([name]) => !replaced.some((each) => each[0] === name));
  return [...replaced, ...pseudo, ...more];
}

const instead = (name: string, value: string) => post([], [[name, value]]);

/** Requests of whose heads and bodies nothing may arrive at the upstream. The body is always `HIDDEN`. */
const REFUSED: readonly FieldList[] = [
  // What HTTP/2 does not have (RFC 9113 section 8.2.2): H2.TE.
  post([["transfer-encoding", "chunked"]]),
  post([["transfer-encoding", "chunked"], ["content-length", "0"]]),
  post([["transfer-encoding", ""]]),
  post([["connection", "keep-alive"]]),
  post([["connection", "content-length"]]),
  post([["keep-alive", "timeout=5"]]),
  post([["proxy-connection", "keep-alive"]]),
  post([["upgrade", "h2c"]]),
  post([["te", "chunked"]]),
  post([["te", "trailers, chunked"]]),
  // Lengths that are not the body's: H2.CL. That of an empty body is told below.
  ...["3", String(HIDDEN.length - 1), String(HIDDEN.length + 1), "99999999999999999999"].map(
    (length) => post([["content-length", length]]),
  ),
  ...["+33", "-1", "0x21", "", "33, 33", "3 3", "33\x0b", "1e1", "\xb2"].map((length) =>
    post([["content-length", length]])
  ),
  post([["content-length", String(HIDDEN.length)], ["content-length", "0"]]),
  post([["content-length", String(HIDDEN.length)], ["content-length", String(HIDDEN.length)]]),
  // Line ends and other controls in names and values: request splitting.
  post([["x", `y\r\nTransfer-Encoding: chunked`]]),
  post([["x", `y\r\n\r\n${HIDDEN}`]]),
  post([["x", `y\nTransfer-Encoding: chunked`]]),
  post([["x", `y\rTransfer-Encoding: chunked`]]),
  post([["x", "a\0b"]]),
  post([["x", "a\x01b"]]),
  post([["x", "a\x7fb"]]),
  post([["x", " leading"]]),
  post([["x", "trailing "]]),
  post([["x", "\tleading"]]),
  post([["x: y\r\ntransfer-encoding", "chunked"]]),
  post([["x\r\n\r\nget /hidden http/1.1\r\nhost", "a"]]),
  post([["x:y", "z"]]),
  post([["x y", "z"]]),
  post([["content-length ", "0"]]),
  post([[" content-length", "0"]]),
  post([["transfer-encoding\t", "chunked"]]),
  post([["", "y"]]),
  post([["x\0", "y"]]),
  post([["x\xe9", "y"]]),
  // Names in upper case (RFC 9113 section 8.2.1).
  post([["X", "y"]]),
  post([["Transfer-Encoding", "chunked"]]),
  post([["Content-Length", String(HIDDEN.length)]]),
  post([["content-lengtH", String(HIDDEN.length)]]),
  post([["HOST", "b"]]),
  // A method or a path that would be more than one word of the request line.
  instead(":method", `GET /open${LINES}`),
  instead(":method", "GET /hidden"),
  instead(":method", "POST\t"),
  instead(":method", "POST\r\nX: y"),
  instead(":method", ""),
  instead(":method", "PO\0ST"),
  instead(":method", "P".repeat(100)),
  instead(":path", `/open${LINES}`),
  instead(":path", "/open HTTP/1.1"),
  instead(":path", "/open HTTP/1.0\r\nX: y"),
  instead(":path", "/open\r\nTransfer-Encoding: chunked"),
  instead(":path", "/op en"),
  instead(":path", "/op\ten"),
  instead(":path", "/op\0en"),
  instead(":path", "/open#fragment"),
  instead(":path", "/op\xe9n"),
  instead(":path", ""),
  instead(":path", "open"),
  instead(":path", "*"),
  instead(":path", "http://b/open"),
  instead(":path", "@b/open"),
  instead(":path", "\\open"),
  // Authorities that are no host, or not the one of Host.
  instead(":authority", ""),
  instead(":authority", "user@a"),
  instead(":authority", "a:80:80"),
  instead(":authority", "a/x"),
  instead(":authority", "a, b"),
  instead(":authority", "a b"),
  instead(":authority", "a\r\nX: y"),
  instead(":authority", "[::1"),
  post([["host", "b"]]),
  post([["host", "a:80"]]),
  post([["host", "a"], ["host", "a"]]),
  post([["host", ""]]),
  // Pseudo-headers twice, unknown, missing, or too late (RFC 9113 section 8.3).
  ...[":method", ":scheme", ":path", ":authority"].map((name): FieldList => [
    ...post(),
    [name, post().find((pair) => pair[0] === name)![1]],
  ]),
  ...[":method", ":scheme", ":path", ":authority"].map((name) =>
    post().filter((pair) => pair[0] !== name)
  ),
  post([[":status", "200"]]),
  post([[":protocol", "websocket"]]),
  post([[":", "x"]]),
  post([[":host", "b"]]),
  post([[":path ", "/hidden"]]),
  post([["x", "y"], [":path", "/hidden"]]),
  [["x", "y"], ...post()],
  [["cookie", "a=1"], ...post()],
  [["host", "a"], ...post()],
  // Schemes: one that is none, and one with a whole address in it.
  instead(":scheme", ""),
  instead(":scheme", "http://b/hidden?"),
  instead(":scheme", "http\r\nX: y"),
  instead(":scheme", "1http"),
  instead(":scheme", "http "),
  // CONNECT asks for a tunnel to anywhere.
  [[":method", "CONNECT"], [":authority", "b:80"]],
  [[":method", "CONNECT"], [":authority", "b:80"], [":path", "/"], [":scheme", "http"]],
  // Expectations that nobody knows.
  post([["expect", "200-ok"]]),
];

/**
 * Sends a request on stream 1 of a new connection, with a DATA frame for each of `bodies` and perhaps trailers, then
 * an ordinary request; how both ended.
 */
async function outcome(
  fixture: GatewayFixture,
  list: FieldList,
  ...rest: readonly (string | FieldList)[]
): Promise<string[]> {
  const conn = await fixture.connect();
  const client = new FrameClient<Deno.Conn>(conn);
  const frames = [list, ...rest].map((part, i) => {
    const ends = i === rest.length ? FLAG.endStream : 0;
    return typeof part === "string"
      ? frame(FRAME.data, ends, 1, bytesOf(part))
      : frame(FRAME.headers, FLAG.endHeaders | ends, 1, blockOf(part));
  });
  await client.send(opening(), ...frames);
  const said = JSON.stringify([list, ...rest]);
  const first = await withTestDeadline(said, firstAnswer(client, 1));
  await client.get(3, "/next");
  const second = await withTestDeadline(said, firstAnswer(client, 3));
  close(conn);
  return [first, second];
}

/** How a stream was answered: the status, or the reset; frames of other streams are skipped. */
async function firstAnswer(client: FrameClient<Deno.Conn>, id: number): Promise<string> {
  for (;;) {
    const one = await client.next();
    if (one === undefined) return "closed";
    if (one.type === "goAway") return `goAway ${one.payload[7]}`;
    if (one.type === "headers") {
      const [status] = client.blocks.lines(one.payload)!;
      if (one.stream === id) return status!.slice(":status: ".length);
    } else if (one.stream === id && one.type === "resetStream") return `reset ${one.payload[3]}`;
  }
}

onBothSockets(
  "a malformed request of HTTP/2 is refused, nothing of it arrives, and its connection goes on",
  async ({ start }) => {
    await using up = await recording();
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    await fixture.open(0);
    const wrong: string[] = [];
    for (const list of REFUSED) {
      const [first, second] = await outcome(fixture, list, HIDDEN);
      const isRefused = ["reset 1", "400", "417", "501"].includes(first!);
      const arrived = up.seen.splice(0);
      if (!isRefused || second !== "200" || arrived.join() !== "GET /next ") {
        wrong.push(`${JSON.stringify(list)}: ${first} ${second} ${JSON.stringify(arrived)}`);
      }
    }
    assertEquals(wrong, []);
    assertEquals([up.refused, fixture.doubts], [[], []]);
  },
);

onBothSockets(
  "a body of another length than was declared is cut: no byte of it becomes another request",
  async ({ start }) => {
    await using up = await recording();
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    await fixture.open(0);
    const length = String(HIDDEN.length);
    for (
      const [declared, bodies, reaches] of [
        ["0", [HIDDEN], true],
        ["1", ["x", HIDDEN], true],
        ["1", [`x${HIDDEN}`], false],
        [String(HIDDEN.length + 1), [HIDDEN], false],
        [String(HIDDEN.length + 1), [HIDDEN, ""], false],
        [length, [HIDDEN, HIDDEN], true],
        [length, [HIDDEN.slice(1)], false],
        ["999999", [HIDDEN], false],
      ] as const
    ) {
      for (const method of ["POST", "GET"]) {
        const list = post([["content-length", declared]], [[":method", method]]);
        const [first, second] = await outcome(fixture, list, ...bodies);
        const about = JSON.stringify([declared, bodies, method, first]);
        // What was complete by its length may have been forwarded, and even answered, before more came.
        assert(first === "reset 1" || (reaches && first === "200"), about);
        assertEquals(second, "200", about);
        const whole = `${method} /open ${bodies[0].slice(0, Number(declared))}`;
        const allowed = reaches ? ["GET /next ", whole] : ["GET /next "];
        assertEquals(up.seen.splice(0).filter((each) => !allowed.includes(each)), [], about);
      }
    }
    assertEquals([up.refused, fixture.doubts], [[], []]);
  },
);

onBothSockets(
  "requests inside bodies stay part of the body, on one connection with many streams",
  async ({ start }) => {
    await using up = await recording();
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    await fixture.open(0);
    const client = new FrameClient<Deno.Conn>(await fixture.connect());
    await client.send(opening());
    const length: FieldList = [["content-length", String(HIDDEN.length)]];
    const chunk = `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`;
    const lists = ["POST", "PUT", "GET", "HEAD", "DELETE", "OPTIONS"].flatMap((method) => [
      [post([], [[":method", method]]), HIDDEN] as const,
      [post(length, [[":method", method]]), HIDDEN] as const,
      [post([], [[":method", method]]), chunk] as const,
    ]);
    const half = 10;
    for (let round = 0; round < 3; round++) {
      const ids = lists.map((_, i) => 1 + 2 * (i + round * lists.length));
      // All heads, then the parts of all bodies in turn, some of them empty or padded.
      const frames = [
        ...lists.map(([list], i) => frame(FRAME.headers, FLAG.endHeaders, ids[i]!, blockOf(list))),
        ...lists.map(([, body], i) => frame(FRAME.data, 0, ids[i]!, body.slice(0, half))),
        ...ids.map((id) => frame(FRAME.data, 0, id)),
        ...lists.map(([, body], i) =>
          frame(FRAME.data, FLAG.padded | FLAG.endStream, ids[i]!, `\x06${body.slice(half)}GET /x`)
        ),
      ];
      await client.send(...frames);
      for (let ended = 0; ended < ids.length;) {
        const one = await withTestDeadline("an answer", client.next());
        assertEquals([one?.type === "headers" || one?.type === "data", one?.type], [
          true,
          one!.type,
        ]);
        if ((one!.flags & FLAG.endStream) !== 0) ended++;
      }
    }
    assertEquals(up.seen.length, 3 * lists.length);
    const bodies = [HIDDEN, chunk];
    const told = up.seen.filter((line) => {
      const [, method, body] = /^([A-Z]+) \/open ([^]*)$/.exec(line) ?? [];
      return method === undefined || !bodies.includes(body!);
    });
    assertEquals([told, up.refused], [[], []]);
  },
);

onBothSockets(
  "what a client says of its handshake does not reach the upstream of an extended CONNECT",
  async ({ start }) => {
    const heads: string[] = [];
    const rest = Promise.withResolvers<string>();
    await using up = rawUpstream(async (conn) => {
      const head = await readUntil(conn);
      heads.push(head);
      if (head.startsWith("GET /next")) return await sendText(conn, OK);
      // It does not switch protocols: what follows would be a request to it.
      await sendText(conn, OK);
      rest.resolve(await readUntil(conn, "never"));
    });
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    await fixture.open(0);
    const ws: FieldList = [[":protocol", "websocket"]];
    const own: FieldList = [["sec-websocket-key", "b3duIGtleSBvZiBjbGllbnQ="], [
      "content-length",
      String(HIDDEN.length),
    ]];
    const list = [...ws, ...post(own, [[":method", "CONNECT"]])];
    const [first, second] = await outcome(fixture, list, HIDDEN);
    assertEquals([first, second], ["200", "200"]);
    assertEquals(await withTestDeadline("the end of the upstream's connection", rest.promise), "");
    const [head] = heads;
    assertEquals(head!.match(/\r\nsec-websocket-key: /gi)?.length, 1, head);
    assert(!/content-length|b3duIGtleSBvZiBjbGllbnQ=/i.test(head!), head);
    assertEquals(heads.filter((each) => each.includes("hidden")), []);
  },
);

onBothSockets(
  "a field that is malformed in a head is malformed in a trailer of HTTP/2, too",
  async ({ start }) => {
    await using up = await recording();
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    await fixture.open(0);
    const wrong: string[] = [];
    for (
      const [name, value] of [
        ["content-length", "3"],
        ["content-length", "4"],
        ["transfer-encoding", "chunked"],
        ["host", "b"],
        ["connection", "x"],
        ["upgrade", "h2c"],
        [":path", "/hidden"],
        [":status", "200"],
        ["x", `y\r\n\r\n${HIDDEN}`],
        ["x\r\n\r\nget /hidden", "x"],
        ["X", "y"],
        ["x", " y"],
        ["", "y"],
      ] as const
    ) {
      const [first, second] = await outcome(fixture, post(), "body", [[name, value]]);
      const seen = up.seen.splice(0);
      if (first !== "reset 1" || second !== "200" || seen.join() !== "GET /next ") {
        wrong.push(`${name}: ${value}: ${first} ${second} ${seen}`);
      }
    }
    assertEquals(wrong, []);
    assertEquals([up.refused, fixture.doubts], [[], []]);
  },
);
