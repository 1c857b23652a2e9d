/**
 * A web server of Node's, run as a separate process so that it can be killed, frozen and started again.
 * The table `PAGES` lists its paths; `/behave` sets how it treats all requests. Its only
 * argument is a `WebPlan` in JSON. When it listens it prints its address, as one line on stdout.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { PAGE } from "./web_page.ts";

export interface WebPlan {
  /** Its name, which is in the header `X-Served-By` of every answer. */
  readonly says: string;
  readonly port: number;
  /** A file to which it adds `METHOD ID` for each request that has an `X-Request-Id`. */
  readonly requestLog?: string;
}

/** How it treats every request except those that control it. */
export type Behaviour = "well" | "failing" | "slow" | "resetting";

/** Longer than a proxy takes to give up an upstream that fails its checks, so that these are cut. */
const SLOW_MS = 4_000;
const BLOCK = new Uint8Array(64 * 1024).map((_, i) => (i * 31 + (i >> 8)) & 0xff);

const plan: WebPlan = JSON.parse(Deno.args[0]!);
let behaviour: Behaviour = "well";
const streams = new Set<ServerResponse>();
const sockets = new Set<Socket>();
const waiting: (() => void)[] = [];
/** Bytes of `/download` that were written to sockets so far. */
let downloaded = 0;

type Page = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => unknown;

const PAGES: Readonly<Record<string, Page>> = {
  "/": (_, response) => response.end(plan.says),
  /** The page of the browser scenario and its assets. */
  ...Object.fromEntries(
    Object.entries(PAGE).map(([path, { type, body }]) => [
      path,
      (_: unknown, response: ServerResponse) => response.setHeader("Content-Type", type).end(body),
    ]),
  ),
  /** The request as JSON. */
  "/echo": async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    response.setHeader("Content-Type", "application/json");
    const { method, url, rawHeaders } = request;
    response.end(JSON.stringify({ says: plan.says, method, url, headers: rawHeaders, body }));
  },
  /** The number of bytes of the body, and their checksum. */
  "/upload": async (request, response) => {
    const hash = createHash("sha1");
    let bytes = 0;
    for await (const part of request) {
      hash.update(part);
      bytes += part.length;
    }
    response.end(`${bytes} ${hash.digest("hex")}`);
  },
  "/download": async (_, response, query) => {
    const bytes = Number(query.get("bytes"));
    response.setHeader("Content-Length", bytes);
    for (let sent = 0; sent < bytes && !response.destroyed;) {
      const part = BLOCK.subarray(0, Math.min(BLOCK.length, bytes - sent));
      if (!response.write(part)) await new Promise((resolve) => response.once("drain", resolve));
      sent += part.length;
      downloaded += part.length;
    }
    response.end();
  },
  "/downloaded": (_, response) => response.end(String(downloaded)),
  /** An event stream: its first event at once, the others at requests for `/push`. */
  "/events": (_, response) => {
    response.setHeader("Content-Type", "text/event-stream");
    response.write(`data: ${plan.says}\n\n`);
    streams.add(response);
    response.on("close", () => streams.delete(response));
  },
  "/push": (_, response, query) => {
    for (const stream of streams) stream.write(`data: ${query.get("event")}\n\n`);
    response.end(String(streams.size));
  },
  /** Reports that it has begun, and answers after a request for `/release`. */
  "/wait": (_, response) => {
    waiting.push(() => response.end(plan.says));
    console.log("waiting");
  },
  "/release": (_, response) => {
    for (const go of waiting.splice(0)) go();
    response.end();
  },
  "/headers": (_, response) => {
    response.setHeader("Set-Cookie", ["a=1; Path=/", "b=2; HttpOnly"]);
    response.setHeader("X-Custom", "kept");
    response.setHeader("Connection", "X-Hop");
    response.setHeader("X-Hop", "not for the client");
    response.end(plan.says);
  },
};

const BEHAVIOURS: Readonly<
  Record<Behaviour, (answer: () => unknown, response: ServerResponse) => void>
> = {
  well: (answer) => answer(),
  failing: (_, response) => {
    response.statusCode = 503;
    response.end("out of order");
  },
  slow: (answer) => setTimeout(answer, SLOW_MS),
  /** The beginning of an answer, and then no more. */
  resetting: (_, response) => {
    response.setHeader("Content-Length", 1_000);
    response.write("as I was say", () => response.socket?.resetAndDestroy());
  },
};

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url!, "http://upstream");
  if (pathname === "/behave") {
    behaviour = searchParams.get("as") as Behaviour;
    return response.end();
  }
  const id = request.headers["x-request-id"];
  if (id !== undefined && plan.requestLog !== undefined) {
    // Written before anything else, so that a request is logged even if the process is killed next.
    Deno.writeTextFileSync(plan.requestLog, `${request.method} ${id}\n`, { append: true });
  }
  response.setHeader("X-Served-By", plan.says);
  const answer = async () => {
    try {
      await (PAGES[pathname] ?? PAGES["/"]!)(request, response, searchParams);
    } catch {
      // The client has left and needs no answer.
      response.destroy();
    }
  };
  BEHAVIOURS[behaviour](answer, response);
});

/** A WebSocket that first sends its name and then echoes each text (RFC 6455, small frames only). */
server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Uint8Array) => {
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash("sha1").update(key).digest("base64");
  const lines = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`];
  socket.write(["HTTP/1.1 101 Switching Protocols", ...lines, "", ""].join("\r\n"));
  socket.write(frame(1, new TextEncoder().encode(plan.says)));
  sockets.add(socket);
  let pending = new Uint8Array(head);
  socket.on("error", () => {});
  socket.on("close", () => sockets.delete(socket));
  socket.on("data", (data: Uint8Array) => {
    pending = new Uint8Array([...pending, ...data]);
    for (;;) {
      const length = (pending[1] ?? 0) & 0x7f;
      if (pending.length < 6 + length) return;
      const mask = pending.subarray(2, 6);
      const payload = pending.slice(6, 6 + length).map((byte, i) => byte ^ mask[i % 4]!);
      const opcode = pending[0]! & 0x0f;
      pending = pending.slice(6 + length);
      socket.write(frame(opcode, payload));
      if (opcode === 8) return void socket.end();
    }
  });
});

function frame(opcode: number, payload: Uint8Array): Uint8Array {
  return new Uint8Array([0x80 | opcode, payload.length, ...payload]);
}

server.listen(plan.port, "127.0.0.1", () => {
  console.log((server.address() as AddressInfo).port);
});
