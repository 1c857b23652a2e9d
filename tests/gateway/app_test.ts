/**
 * The gateway's app without a socket: `app.request()` with a downstream connection in its environment gives
 * the response that a client gets over a socket, whether the proxy or an upstream answers.
 */
import { assert, assertEquals } from "@std/assert";
import { realClock } from "../../src/base/clock.ts";
import { FetchExchange } from "../../src/gateway/testing/fetch_exchange.ts";
import { Deadlines } from "../../src/net/deadlines.ts";
import { folderBackup } from "../../src/gateway/static/static.ts";
import { type GatewayFixture, nodeUpstream, refusingPort } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";

interface ComparableResponse {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

/** Fields of the connection, and framing, which are not compared. */
const OF_CONNECTION = /^(connection|content-length|date|keep-alive|transfer-encoding)$/i;

function comparable(status: number, headers: Headers, body: string): ComparableResponse {
  return { status, headers: [...headers].filter(([name]) => !OF_CONNECTION.test(name)), body };
}

type Lines = Readonly<Record<string, string>>;

async function overSocket(
  fixture: GatewayFixture,
  method: string,
  path: string,
  lines: Lines,
  body: string,
): Promise<ComparableResponse> {
  const fields = Object.entries(lines).map(([name, value]) => `${name}: ${value}`);
  const said = await fixture.ask(method, path, fields, body);
  const chunked = /^[\da-f]+\r\n([^]*)\r\n0\r\n\r\n$/i.exec(said.body)?.[1];
  const headers = new Headers();
  for (const line of said.lines) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const isChunked = headers.has("transfer-encoding");
  return comparable(said.status, headers, isChunked ? chunked ?? said.body : said.body);
}

/** The answer of the app: its response, or what was written to the downstream connection. */
async function byApp(
  fixture: GatewayFixture,
  method: string,
  path: string,
  lines: Lines,
  body: string,
): Promise<ComparableResponse> {
  const url = `http://front.test${path}`;
  const init = { method, headers: { ...lines, host: "front.test" } };
  const sized = { ...init, headers: { ...init.headers, "content-length": String(body.length) } };
  const downstream = await FetchExchange.of(
    new Request(url, body === "" ? init : { ...sized, body }),
    "127.0.0.1",
    new Deadlines(realClock),
    { bodyMs: 20_000, headBytesMax: 65_536 },
  );
  const answering = fixture.gateway.app.request(new Request(url, init), {}, {
    downstream,
    scheme: "http",
  });
  const response = await Promise.race([
    downstream.response,
    Promise.resolve(answering).then((own) =>
      downstream.responseStarted ? downstream.response : own
    ),
  ]);
  const text = await response.text();
  await answering;
  return comparable(response.status, response.headers, text);
}

const REQUESTS: readonly (readonly [string, string, Lines, string])[] = [
  ["GET", "/x?y=1", { "x-asked": "a" }, ""],
  ["GET", "/%5F_failovers", {}, ""],
  ["HEAD", "/x", {}, ""],
  ["POST", "/x", { "content-type": "text/plain" }, "hello"],
  ["GET", "/missing", {}, ""],
  ["GET", "/__failover/health", {}, ""],
  ["GET", "/__failover/state?a=1", { accept: "application/json" }, ""],
  ["GET", "/%5f_failover/state", {}, ""],
  ["GET", "/__failover", {}, ""],
  ["HEAD", "/__failover/health", {}, ""],
];

async function assertAlike(fixture: GatewayFixture): Promise<void> {
  for (const [method, path, lines, body] of REQUESTS) {
    const one = await overSocket(fixture, method, path, lines, body);
    assert(one.status >= 200, `${method} ${path}`);
    assertEquals(await byApp(fixture, method, path, lines, body), one, `${method} ${path}`);
  }
}

const admin = {
  fetch: ({ method, url }: Request) =>
    new Response(`${method} ${url}`, { headers: { "x-own": "1" } }),
};

onBothProtocols(
  "the app answers without a socket as it does over one: an upstream",
  async ({ start }) => {
    await using up = await nodeUpstream(async (request, response) => {
      let body = "";
      for await (const part of request) body += part;
      // The upstream must receive the same, too.
      const { method, url, headers } = request;
      // Without a socket a request counts as one of HTTP/1.1.
      headers.via = headers.via?.replace("2.0", "1.1");
      response.statusCode = url === "/missing" ? 404 : 200;
      response.setHeader("x-answered", ["1", "2"]);
      response.end(JSON.stringify({ method, url, headers, body }));
    });
    await using fixture = await start([up.port], { admin });
    await fixture.open(0);
    await assertAlike(fixture);
  },
);

onBothProtocols(
  "the app answers without a socket as it does over one: files",
  async ({ start }) => {
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(`${folder}/x`, "a file");
    await using fixture = await start([], { admin, backup: folderBackup(folder, realClock) });
    await fixture.open(0);
    await assertAlike(fixture);
    await Deno.remove(folder, { recursive: true });
  },
);

onBothProtocols(
  "the app answers without a socket as it does over one: pages",
  async ({ start }) => {
    await using fixture = await start([refusingPort()], { admin });
    await fixture.gateway.refuse();
    await assertAlike(fixture);
  },
);
