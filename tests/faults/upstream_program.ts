/**
 * A server that counts: each request it gets is a line in a log, written before it answers, so that
 * the request log shows what it received even if it is killed. Its only argument is a `CountingPlan` in
 * JSON. When it listens it says on which port, as one line on stdout. SIGUSR2 makes it reset all new
 * connections, and the next one makes it serve again.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { differing, patternOf } from "./pattern.ts";

export interface CountingPlan {
  /** Its name, which is in the header `X-Served-By` of every answer. */
  readonly says: string;
  /** 0 lets the system choose. */
  readonly port: number;
  /** The file with the log of its requests. */
  readonly requestLog: string;
  /** Length of the accept queue. */
  readonly backlog: number;
  /** The time after its start in which it accepts and does not answer, in milliseconds. */
  readonly deafMs: number;
}

/** The time between two bytes of a session. */
const BEAT_MS = 50;

const plan: CountingPlan = JSON.parse(Deno.args[0]!);
const requestLog = await Deno.open(plan.requestLog, { append: true, create: true });
const startedAt = performance.now();
let resetting = false;
Deno.addSignalListener("SIGUSR2", () => resetting = !resetting);

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** `/n/NUMBER`: one counted request. */
async function count(request: IncomingMessage, response: ServerResponse, number: number) {
  const method = request.method!;
  const wrong = method === "POST" ? differing(await bodyOf(request), patternOf(number)) : 0;
  requestLog.writeSync(new TextEncoder().encode(`${method} ${number} ${wrong}\n`));
  response.end(patternOf(number + 1));
}

/** `/session`: sends a byte at intervals, until the client leaves. */
function beat(response: ServerResponse) {
  response.flushHeaders();
  response.write(".");
  const timer = setInterval(() => response.write("."), BEAT_MS);
  response.on("close", () => clearInterval(timer));
}

async function answer(request: IncomingMessage, response: ServerResponse) {
  const deafFor = startedAt + plan.deafMs - performance.now();
  if (deafFor > 0) await new Promise((resolve) => setTimeout(resolve, deafFor));
  response.setHeader("X-Served-By", plan.says);
  const number = /^\/n\/(\d+)$/.exec(request.url!)?.[1];
  if (number !== undefined) await count(request, response, Number(number));
  else if (request.url === "/session") beat(response);
  else response.end("well");
}

const server = createServer((request, response) => {
  // A client or proxy that left during its request needs no answer.
  answer(request, response).catch(() => response.destroy());
});
server.on("connection", (socket) => {
  socket.on("error", () => {});
  if (resetting) socket.resetAndDestroy();
});
server.listen(plan.port, "127.0.0.1", plan.backlog, () => {
  console.log((server.address() as AddressInfo).port);
});
