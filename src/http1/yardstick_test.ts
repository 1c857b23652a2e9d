/** Both sides with node:http (llhttp) as their peer, on real sockets: each must understand the other. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { realClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { serveListener } from "../net/deno/listener.ts";
import { dialer } from "../net/deno/transport.ts";
import { Deadlines } from "../net/deadlines.ts";
import type { Exchange } from "./exchange.ts";
import { Pool } from "./pool.ts";
import { Server } from "./server.ts";

async function nodeServer(listener: http.RequestListener, setUp?: (server: http.Server) => void) {
  const server = http.createServer(listener);
  setUp?.(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const pool = new Pool({
    deadlines: new Deadlines(realClock),
    dial: dialer({ hostname: "127.0.0.1", port, clock: realClock, connectMs: 20_000 }),
  });
  return {
    pool,
    async [Symbol.asyncDispose]() {
      pool.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function ourServer(handle: (exchange: Exchange) => Promise<void>) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const server = new Server({
    deadlines: new Deadlines(realClock),
    handler: handle,
  });
  const serving = serveListener(listener, server, { clock: realClock });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  return {
    agent,
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      agent.destroy();
      listener.close();
      await server.drain(AbortSignal.abort());
      await serving;
    },
  };
}

const WAIT = { responseMs: 20_000 };
const BIG = Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 7 + (i >> 9));

async function collect(body: { read(): Promise<Uint8Array | undefined> }): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let part = await body.read(); part; part = await body.read()) parts.push(part.slice());
  return Buffer.concat(parts);
}

Deno.test("node:http understands our request, and we its response, raw heads and trailers included", async () => {
  let seen: unknown;
  await using upstream = await nodeServer((request, response) => {
    seen = [request.method, request.url, request.rawHeaders];
    response.writeHead(299, "Odd Reason", ["Set-Cookie", "a=1", "set-cookie", "b=2", "X", "\xe4"]);
    response.addTrailers({ "X-Sum": "9" });
    request.pipe(response);
  });
  for (const fresh of [true, false]) {
    const connection = upstream.pool.take() ?? await upstream.pool.connect();
    assertEquals(connection.reused, false);
    const out = connection.request("PATCH", "/a%2Fb//c/../d?x=%20y|");
    assertEquals(connection.reused, !fresh);
    out.line("Host", "a");
    out.line("x-A", "1");
    out.line("X-a", "2");
    const { head, body } = await connection.exchange(BIG, WAIT);
    assertEquals(seen, ["PATCH", "/a%2Fb//c/../d?x=%20y|", [
      ...["Host", "a", "x-A", "1", "X-a", "2", "Content-Length", String(BIG.length)],
    ]]);
    assertEquals([head.status, head.reason], [299, "Odd Reason"]);
    assertEquals(head.fields.name(1), "set-cookie");
    assertEquals(head.fields.get("x"), "\xe4");
    assert(Buffer.compare(await collect(body), BIG) === 0, "the body was changed");
    connection.release();
    assertEquals(upstream.pool.idle, 1);
  }
});

Deno.test("node:http sees our chunked body and trailers, and its Continue and hints reach us", async () => {
  await using upstream = await nodeServer(() => {}, (server) => {
    server.on("checkContinue", (request, response) => {
      response.writeContinue();
      response.writeEarlyHints({ link: "</a>; rel=preload" });
      request.resume().on("end", () => {
        response.end(JSON.stringify([request.rawTrailers, request.headers["transfer-encoding"]]));
      });
    });
  });
  const connection = await upstream.pool.connect();
  const head = connection.request("POST", "/");
  head.line("Host", "a");
  head.line("Expect", "100-continue");
  const statuses: number[] = [];
  const parts = [BIG.subarray(0, 100_000), BIG.subarray(0, 7)];
  const reply = await connection.exchange(
    { length: undefined, read: () => Promise.resolve(parts.shift()) },
    { ...WAIT, waitForContinue: true, onInformational: (head) => void statuses.push(head.status) },
  );
  const text = new TextDecoder().decode(await collect(reply.body));
  assertEquals(text, '[[],"chunked"]');
  assertEquals(statuses, [100, 103]);
  connection.release();
});

Deno.test("a response that node:http cuts off is a fault, not an end", async () => {
  await using upstream = await nodeServer((_, response) => {
    response.write("part", () => response.destroy());
  });
  const connection = await upstream.pool.connect();
  connection.request("GET", "/").line("Host", "a");
  const { body } = await connection.exchange(null, WAIT);
  const fault = await assertRejects(() => collect(body), Fault);
  assert(fault.fault === "responseCut" || fault.fault === "upstreamReset", fault.message);
  connection.release();
});

interface ReceivedResponse {
  status: number;
  reason: string;
  rawHeaders: string[];
  body: Uint8Array;
  rawTrailers: string[];
  interim: number[];
  reused: boolean;
}

function ask(options: http.RequestOptions, body?: Uint8Array): Promise<ReceivedResponse> {
  return new Promise((resolve, reject) => {
    const interim: number[] = [];
    const request = http.request({ host: "127.0.0.1", ...options });
    request.on("information", (info) => interim.push(info.statusCode));
    request.on("error", reject);
    request.on("response", (response) => {
      const parts: Uint8Array[] = [];
      response.on("data", (part: Uint8Array) => parts.push(part));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode!,
          reason: response.statusMessage!,
          rawHeaders: response.rawHeaders,
          body: Buffer.concat(parts),
          rawTrailers: response.rawTrailers,
          interim,
          reused: request.reusedSocket,
        }));
    });
    request.end(body);
  });
}

Deno.test("node:http understands our responses on a kept-alive connection, and we its requests", async () => {
  await using ours = ourServer(async (exchange) => {
    const { head, body } = exchange;
    assertEquals(head.target, "/x/../y?z|");
    await exchange.write1xx(103, "Early Hints", (out) => out.line("Link", "</a>"));
    const out = exchange.respond(299, "Odd Reason");
    out.line("Set-Cookie", "a=1");
    out.line("set-cookie", "b=2");
    const known = head.fields.find("x-known") >= 0;
    await exchange.send({ length: known ? body.length : undefined, read: () => body.read() });
  });
  for (const [round, field] of ["X-Known", "X-Open", "X-Known"].entries()) {
    const options = { port: ours.port, agent: ours.agent, method: "POST", path: "/x/../y?z|" };
    const headers = { [field]: "1", "Content-Length": BIG.length };
    const received = await ask({ ...options, headers }, BIG);
    assertEquals([received.status, received.reason, received.interim], [299, "Odd Reason", [103]]);
    assertEquals(received.rawHeaders.slice(0, 4), ["Set-Cookie", "a=1", "set-cookie", "b=2"]);
    assert(Buffer.compare(received.body, BIG) === 0, "the body was changed");
    assertEquals(received.reused, round > 0);
  }
});

Deno.test("node:http sees a response that we cut as an error", async () => {
  for (const length of [10, undefined]) {
    await using ours = ourServer(async (exchange) => {
      exchange.respond(200, "OK");
      const parts = [Promise.resolve(new Uint8Array(3))];
      await exchange.send({
        length,
        read: () => parts.shift() ?? Promise.reject(new Fault("responseCut")),
      });
    });
    await assertRejects(() => ask({ port: ours.port, agent: ours.agent }));
  }
});
