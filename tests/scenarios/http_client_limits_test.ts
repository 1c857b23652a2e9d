/** The configurable limits for clients, and for kept connections to upstreams. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { tlsTest } from "../gateway/certificate.ts";
import { nodeUpstream, urlOf } from "../gateway/gateway_fixture.ts";
import type { LineConn } from "../harness/line_conn.ts";
import { Folder } from "../harness/folder.ts";
import { scenario } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy } from "../harness/web_proxy.ts";

/** An upstream that answers with the number of the connection that a request came on. */
async function counting() {
  let connections = 0;
  const ends: Promise<void>[] = [];
  const numbers = new WeakMap<object, number>();
  const upstream = await nodeUpstream((request, response) => {
    const large = () => "x".repeat(50_000_000);
    const says = () => request.url === "/large" ? large() : String(numbers.get(request.socket));
    request.resume().once("end", () => response.end(says()));
  });
  upstream.server.keepAliveTimeout = 0;
  upstream.server.on("connection", (socket) => {
    numbers.set(socket, connections++);
    ends.push(new Promise((resolve) => socket.once("close", () => resolve())));
  });
  /** Resolves when the connection of this number has ended. */
  return Object.assign(upstream, { ended: (number: number) => ends[number]! });
}

/** The answer to these bytes, until the proxy closes the connection. */
async function answerTo(conn: LineConn, text: string): Promise<string> {
  await conn.send(new TextEncoder().encode(text));
  const rest = await withTestDeadline("the connection to end", conn.rest().catch(() => ""));
  conn.close();
  return rest;
}

const HEAD = "Host: site.example\r\n";

/**
 * Each option with a value, the bytes sent, and the expected answer. All defaults are longer than a test
 * may take.
 */
const LIMITS: readonly (readonly [string, string, string, RegExp])[] = [
  ["head-timeout", "300ms", "GET / HTTP/1.1\r\nHost: si", /^HTTP\/1\.1 408 /],
  [
    "body-timeout",
    "300ms",
    `POST / HTTP/1.1\r\n${HEAD}Content-Length: 9\r\n\r\nonly`,
    /^HTTP\/1\.1 408 /,
  ],
  ["keep-alive-timeout", "300ms", `GET / HTTP/1.1\r\n${HEAD}\r\n`, /^HTTP\/1\.1 200 .*\r\n\d+$/s],
  [
    "max-head",
    "1KB",
    `GET / HTTP/1.1\r\n${HEAD}X: ${"x".repeat(2_000)}\r\n\r\n`,
    /^HTTP\/1\.1 431 /,
  ],
];

for (const [option, value, text, expected] of LIMITS) {
  scenario(`--${option} limits the time or the size that a client may take`, async ({ relay }) => {
    await using upstream = await counting();
    const flags = { relay, [option]: value };
    await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
    assertMatch(await answerTo(await proxy.connect(), text), expected);
  });
}

scenario("--write-timeout ends a response that its client does not read", async ({ relay }) => {
  await using upstream = await counting();
  await using folder = await Folder.make();
  const log = { "access-log": folder.at("access.log"), "access-log-format": "json" };
  const flags = { relay, "write-timeout": "300ms", ...log };
  await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
  const connection = await proxy.open();
  await connection.send({ target: "/large" });
  await folder.reads("access.log", (text) => text.endsWith("\n"));
  connection.close();
  assertEquals(JSON.parse(await folder.read("access.log")).outcome, "slow-reader");
});

tlsTest("--max-head and --keep-alive-timeout also apply to HTTP/2", async (tls) => {
  await using upstream = await counting();
  const flags = {
    "tls-cert": tls.certPath,
    "tls-key": tls.keyPath,
    relay: tls.relay,
    "max-head": "1KB",
    // Longer than a busy machine lets its client wait between two requests.
    "keep-alive-timeout": "4s",
  };
  await using proxy = await startWebProxy({ primary: urlOf(upstream), flags });
  const { connect } = await import("node:http2");
  const session = connect(`https://localhost:${proxy.address.split(":")[1]}`, { ca: tls.cert });
  const closed = new Promise((resolve) => session.once("close", resolve));
  session.on("error", () => {});
  const status = (headers: Record<string, string>) =>
    new Promise<number>((resolve, reject) => {
      const stream = session.request({ ":path": "/", ...headers });
      stream.once("response", (head) => resolve(Number(head[":status"])));
      stream.once("error", reject);
      stream.resume();
    });
  assertEquals(await withTestDeadline("an answer", status({ x: "x".repeat(2_000) })), 431);
  assertEquals(await withTestDeadline("an answer", status({})), 200);
  await withTestDeadline("the idle connection to be closed", closed);
});

/** The numbers of the upstream's connections on which two requests came; the second one after `between`. */
async function twoRequests(
  flags: Readonly<Record<string, string>>,
  between: (first: Promise<void>) => Promise<void>,
): Promise<readonly [number, number]> {
  await using upstream = await counting();
  // A check would use the kept connection, or leave one.
  const calm = { "check-interval": "1h", ...flags };
  await using proxy = await startWebProxy({ primary: urlOf(upstream), flags: calm });
  const first = Number((await proxy.get("/")).text);
  await withTestDeadline("the first connection to end", between(upstream.ended(first)));
  return [first, Number((await proxy.get("/")).text)];
}

scenario(
  "--upstream-keep, -idle and -age limit the connections that are kept",
  async ({ relay }) => {
    const [kept, same] = await twoRequests({ relay }, () => Promise.resolve());
    assertEquals(kept, same);
    const limits = {
      "upstream-keep": "0",
      "upstream-keep-idle": "1ms",
      "upstream-keep-age": "1ms",
    };
    for (const [option, value] of Object.entries(limits)) {
      const [before, after] = await twoRequests(
        { relay, [option]: value },
        (first) => first,
      );
      assert(after > before, option);
    }
  },
);
