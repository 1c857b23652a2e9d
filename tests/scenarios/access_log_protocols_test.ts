/** The access log has the same line for the same exchange over HTTP/1.1 and over HTTP/2. */
import { assertEquals } from "@std/assert";
import { onBothProtocols } from "../gateway/both_sockets.ts";
import { storyClient } from "../gateway/clients.ts";
import {
  close,
  rawUpstream,
  readAllText,
  readUntil,
  sendText,
} from "../gateway/gateway_fixture.ts";
import { switching } from "../gateway/switching.ts";
import type { Exchange, Protocol, StoryClient } from "../gateway/story_client.ts";
import { block, frame, opening, requestFields, WHOLE } from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { FRAME } from "../../src/http2/frames.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy } from "../harness/web_proxy.ts";

/** The paths for which an upstream was asked. */
class Heads {
  readonly #paths: string[] = [];
  #news = Promise.withResolvers<void>();

  add(path: string): void {
    this.#paths.push(path);
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  async has(path: string): Promise<void> {
    while (!this.#paths.includes(path)) await this.#news.promise;
  }
}

/** What an upstream of raw sockets does with each path. */
async function serve(conn: Deno.TcpConn, heads: Heads): Promise<void> {
  for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
    const path = head.split(" ")[1]!;
    heads.add(path);
    if (path === "/upload") await readUntil(conn, "end", head);
    if (path === "/never") return void await readAllText(conn);
    if (path === "/tunnel") {
      await sendText(conn, await switching(head));
      await sendText(conn, await readUntil(conn, "ping"));
      return void await readAllText(conn);
    }
    const length = path === "/cut" || path === "/partly" ? 100 : 4;
    const body = head.startsWith("HEAD") ? "" : "body";
    await sendText(conn, `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${body}`);
    if (path === "/cut") return;
    if (path === "/partly") return void await readAllText(conn);
  }
}

/** What a client does, and fields of the line that tells it. */
type Story = readonly [act: (client: StoryClient) => Promise<unknown>, line: string];

function whole(method: string, path: string): Story[0] {
  return async (client) => await (await client.begin(method, path)).answer();
}

function upload(size: number): Story[0] {
  return async (client) => {
    const asked = await client.begin("PUT", "/upload", [], { hasBody: true });
    // The answer may come before the end of the upload.
    const sending = asked.send(`${"x".repeat(size - 3)}end`).then(() => asked.end());
    await asked.answer();
    await sending.catch(() => {});
  };
}

/** Resolves with an exchange that the client then leaves. */
function leaving(begin: (client: StoryClient) => Promise<Exchange>): Story[0] {
  return async (client) => await (await begin(client)).leave();
}

async function tunnel(client: StoryClient): Promise<void> {
  const opened = await client.tunnel("/tunnel");
  await opened.head();
  await opened.send("ping");
  await opened.readUntil("ping");
  await opened.end();
  await opened.rest();
}

/** Client, request, status, bytes of the response and of the request, attempts, outcome. */
function stories(protocol: Protocol, asked: (path: string) => Promise<void>): readonly Story[] {
  // A stream is reset; a connection is closed.
  const gone = protocol === "HTTP/2" ? "client-reset" : "client-gone";
  const partly = leaving(async (client) => {
    const exchange = await client.begin("GET", "/partly");
    await exchange.readUntil("body");
    return exchange;
  });
  const never = leaving(async (client) => {
    const exchange = await client.begin("GET", "/never");
    await asked("/never");
    return exchange;
  });
  return [
    [whole("GET", "/a?b"), "GET /a?b 200 4 0 1 done"],
    [whole("HEAD", "/a"), "HEAD /a 200 0 0 1 done"],
    [whole("GET", "/__failover/health"), "GET /__failover/health 200 2 0 0 done"],
    [upload(50_000), "PUT /upload 200 4 50000 1 done"],
    [upload(150_000), "PUT /upload 413 0 more 1 body-too-large"],
    [whole("GET", "/cut"), "GET /cut 200 4 0 1 response-cut"],
    [partly, `GET /partly 200 4 0 1 ${gone}`],
    [never, `GET /never 499 0 0 1 ${gone}`],
    [tunnel, "GET /tunnel 101 4 4 1 done"],
  ];
}

onBothProtocols(
  "--access-log has the same lines for the same exchanges",
  async ({ relay, protocol }) => {
    await using folder = await Folder.make();
    const heads = new Heads();
    await using up = rawUpstream((conn) => serve(conn, heads));
    const primary = { url: `http://127.0.0.1:${up.port}` };
    const log = { "access-log": folder.at("access.log"), "access-log-format": "json" };
    const flags = { relay, h2c: true, "max-body": "100KB", ...log } as const;
    await using proxy = await startWebProxy({ primary, flags });
    const port = Number(proxy.address.split(":")[1]);
    const all = stories(protocol, (path) => heads.has(path));
    for (const [at, [act, line]] of all.entries()) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      await withTestDeadline(line, act(storyClient(conn, protocol)), proxy.lastLines);
      // One after another, because a line comes at the end of its exchange.
      const lines = (text: string) => text.split("\n").slice(0, -1);
      await folder.reads("access.log", (text) => lines(text).length > at);
      close(conn);
      const told = JSON.parse(lines(await folder.read("access.log"))[at]!);
      const { method, target, status, bytes, attempts, outcome } = told;
      const received = status === 413 && told.request_bytes > 100_000 ? "more" : told.request_bytes;
      assertEquals(
        [[method, target, status, bytes, received, attempts, outcome].join(" "), told.protocol],
        [line, protocol === "HTTP/2" ? "HTTP/2.0" : "HTTP/1.1"],
      );
    }
  },
);

/** Requests that are refused because of their heads: field lines, or another method; and the line of the log. */
const REFUSED = [
  [{ fields: [["bad name", "x"]] }, "400 bad-request"],
  [{ fields: [["x", "a\0b"]] }, "400 bad-request"],
  [{ fields: [["x", "y".repeat(3_000)]] }, "431 head-too-large"],
  [{ method: "CONNECT" }, "501 not-implemented"],
] as const;

interface Wrong {
  readonly method?: string;
  readonly fields?: readonly (readonly [name: string, value: string])[];
}

async function ask(conn: Deno.TcpConn, protocol: Protocol, wrong: Wrong): Promise<string> {
  const { method = "GET", fields = [] } = wrong;
  if (protocol === "HTTP/1.1") {
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const target = method === "CONNECT" ? "a:1" : "/";
    await sendText(conn, `${method} ${target} HTTP/1.1\r\nHost: a:1\r\n${lines}\r\n`);
    return (await readUntil(conn)).split(" ")[1]!;
  }
  const client = new FrameClient<Deno.Conn>(conn);
  const all = method === "CONNECT"
    ? [[":method", method], [":authority", "a:1"]] as const
    : requestFields(method, "/", fields);
  await client.send(opening(), frame(FRAME.headers, WHOLE, 1, block(all)));
  const { lines: [status], end } = await client.response();
  return status?.slice(9) ?? end;
}

onBothProtocols(
  "--access-log has the same line for a request whose head is refused",
  async ({ relay, protocol }) => {
    await using folder = await Folder.make();
    await using up = rawUpstream((conn) => serve(conn, new Heads()));
    const primary = { url: `http://127.0.0.1:${up.port}` };
    const log = { "access-log": folder.at("access.log"), "access-log-format": "json" };
    const flags = { relay, h2c: true, "max-head": "2KB", ...log } as const;
    await using proxy = await startWebProxy({ primary, flags });
    const port = Number(proxy.address.split(":")[1]);
    for (const [at, [wrong, line]] of REFUSED.entries()) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      const got = await withTestDeadline(line, ask(conn, protocol, wrong), proxy.lastLines);
      // RFC 9113 section 8.1.1: where HTTP/1.1 has 400, a malformed request of HTTP/2 is reset.
      const isReset = protocol === "HTTP/2" && line.startsWith("400");
      assertEquals(got, isReset ? "resetStream 1" : line.slice(0, 3), line);
      const lines = (text: string) => text.split("\n").slice(0, -1);
      await folder.reads("access.log", (text) => lines(text).length > at);
      close(conn);
      const told = JSON.parse(lines(await folder.read("access.log"))[at]!);
      assertEquals(
        [`${told.status} ${told.outcome}`, told.client, told.method, told.upstream],
        [line, "127.0.0.1", null, null],
      );
    }
    if (protocol === "HTTP/2") {
      const reason = /^malformed head of a request: bad characters in a name; the request ends$/;
      await proxy.event("http2.broken", { rule: "other", reason });
    }
    assertEquals(await proxy.stop(), 0);
    const written = await folder.read("access.log");
    assertEquals(written.split("\n").length - 1, REFUSED.length, written);
  },
);
