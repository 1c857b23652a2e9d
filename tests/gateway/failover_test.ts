/**
 * The whole program between 200 clients, half of whom speak HTTP/2, and two upstreams in separate processes, while the primary is
 * killed, frozen and restarted. Every request has an id, and the upstreams log the ids that they received.
 */
import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Proxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { Http1Client } from "./http1_client.ts";
import { Http2Client } from "./http2_client.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const CLIENTS = 200;
/** Clients that share a connection of HTTP/2. */
const SHARERS = 10;
const WITNESS = new URL("./logging_upstream.ts", import.meta.url).pathname;

/** How often the upstreams began to answer each id. */
class RequestLog {
  readonly seen = new Map<string, number>();

  take(line: string): void {
    if (line === "ready") return;
    this.seen.set(line, (this.seen.get(line) ?? 0) + 1);
  }
}

async function loggingUpstream(name: string, port: number, requestLog: RequestLog): Promise<Child> {
  const ready = Promise.withResolvers<void>();
  const child = new Child(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--allow-net", WITNESS, name, String(port)],
    onOut: (line) => {
      ready.resolve();
      requestLog.take(line);
    },
  });
  await withTestDeadline(`${name} to listen`, ready.promise);
  return child;
}

interface Outcome {
  readonly key: string;
  /** 0 when the connection was cut. */
  readonly status: number;
  readonly failover: string;
}

/** The outcome of each request, and a way to wait for more of them. */
class Outcomes {
  readonly all: Outcome[] = [];
  #wanted = Infinity;
  #reached = () => {};

  add(outcome: Outcome): void {
    this.all.push(outcome);
    if (this.all.length >= this.#wanted) this.#reached();
  }

  /** Resolves when this many further requests have ended. */
  further(count: number): Promise<void> {
    this.#wanted = this.all.length + count;
    return new Promise((resolve) => this.#reached = resolve);
  }
}

type Connection = Http1Client | Http2Client;

/** A connection to the proxy, made anew when it has ended. */
class Kept {
  readonly #connect: () => Promise<Connection>;
  #opening: Promise<Connection> | undefined;

  constructor(connect: () => Promise<Connection>) {
    this.#connect = connect;
  }

  get(): Promise<Connection> {
    return this.#opening ??= this.#connect();
  }

  /** The connection that was `used` serves no more requests. */
  async replace(used: Connection): Promise<void> {
    if (this.#opening === undefined || await this.#opening !== used) return;
    this.#opening = undefined;
    used.conn.close();
  }

  async close(): Promise<void> {
    (await this.#opening)?.conn.close();
  }
}

/** The connection of each client: half have one of HTTP/1.1, the others share some of HTTP/2. */
function connections(port: number): Kept[] {
  const connect = () => Deno.connect({ hostname: "127.0.0.1", port });
  const shared = Array.from(
    { length: CLIENTS / 2 / SHARERS },
    () => new Kept(async () => new Http2Client(await connect())),
  );
  return Array.from(
    { length: CLIENTS },
    (_, number) =>
      number < CLIENTS / 2
        ? new Kept(async () => new Http1Client(await connect()))
        : shared[number % shared.length]!,
  );
}

/** Sends request after request until `stop` is aborted. */
async function client(kept: Kept, number: number, stop: AbortSignal, outcomes: Outcomes) {
  const method = Math.floor(number / SHARERS) % 2 === 0 ? "GET" : "POST";
  for (let i = 0; !stop.aborted; i++) {
    const connection = await kept.get();
    const id = `${number}-${i}`;
    const outcome = await exchange(connection, method, id);
    outcomes.add({ key: `${method} ${id}`, ...outcome });
    // A stream that was reset leaves its connection to the others.
    const isOver = connection instanceof Http2Client
      ? connection.ended !== undefined
      : outcome.status === 0 || outcome.isLast;
    if (isOver) await kept.replace(connection);
  }
}

async function exchange(connection: Connection, method: string, id: string) {
  const hasBody = method === "POST";
  const lines = [`X-Id: ${id}`, ...hasBody ? ["Content-Length: 4"] : []];
  try {
    const asked = await connection.begin(method, "/", lines, { hasBody });
    if (hasBody) {
      await asked.send("body");
      await asked.end();
    }
    const { status, end, get } = await asked.answer();
    const failover = get("failover") ?? "";
    if (end !== "whole") return { status: 0, failover: "", isLast: true };
    return { status, failover, isLast: get("connection") === "close" };
  } catch (error) {
    const isCut = error instanceof Deno.errors.ConnectionReset ||
      error instanceof Deno.errors.BrokenPipe;
    if (!isCut) throw error;
    return { status: 0, failover: "", isLast: true };
  }
}

/** Reasons that prove that the request had not been sent: such a request must never fail. */
const UNSENT = /reason=(connect-|closed-unused|hold|no-upstream|too-many)/;

scenario(
  "of 200 clients no request is lost that was not sent, and no unsafe one is executed twice",
  async ({ relay }) => {
    const requestLog = new RequestLog();
    const [first, second, front] = [unusedPort(), unusedPort(), unusedPort()];
    let primary = await loggingUpstream("primary", first, requestLog);
    await using _backup = await loggingUpstream("backup", second, requestLog);
    const [a, b] = [`http://127.0.0.1:${first}`, `http://127.0.0.1:${second}`];
    const flags = ["--json-logs", "--log-level=debug", "--check-interval=200ms"];
    const ways = [`--primary=${a}`, `--backup=${b}`, `--relay=${relay}`];
    const quick = [
      // Upstreams that share the cores with other tests may answer late.
      "--check-timeout=3s",
      "--failback-damping=off",
      "--h2c",
      `--listen=127.0.0.1:${front}`,
    ];
    await using proxy = new Proxy([...ways, ...flags, ...quick], {});
    let last = await proxy.event("promotion.finished", { to: a });
    const moved = async (to: string) => {
      last = await proxy.event("promotion.finished", { to }, last);
    };
    const stop = new AbortController();
    const outcomes = new Outcomes();
    const kept = connections(front);
    const clients = kept.map((each, n) => client(each, n, stop.signal, outcomes));
    const progress = () =>
      withTestDeadline("the clients to continue", outcomes.further(2 * CLIENTS));
    try {
      for (let round = 0; round < 2; round++) {
        await progress();
        await primary.kill();
        await moved(b);
        await progress();
        primary = await loggingUpstream("primary", first, requestLog);
        await moved(a);
      }
      await progress();
      primary.signal("SIGSTOP");
      await moved(b);
      await progress();
      primary.signal("SIGCONT");
      await moved(a);
      await progress();
    } finally {
      stop.abort();
      await withTestDeadline("the clients to stop", Promise.all(clients));
      for (const each of new Set(kept)) await each.close();
      await primary.kill();
    }
    const failed = outcomes.all.filter(({ status }) => status !== 200);
    const twice = [...requestLog.seen].filter(([key, count]) =>
      key.startsWith("POST") && count > 1
    );
    console.log(
      `    ${outcomes.all.length} requests, ${failed.length} failed after they had been sent`,
    );
    const served = outcomes.all.filter(({ status }) => status === 200)
      .map(({ key }) => /\d+/.exec(key)![0]);
    assertEquals(new Set(served).size, CLIENTS, "clients that were answered");
    assertEquals(twice, [], "unsafe requests that were executed twice");
    assertEquals(
      failed.filter(({ failover }) => UNSENT.test(failover)),
      [],
      "lost without being sent",
    );
    assert(failed.every(({ status }) => [0, 502, 504].includes(status)), JSON.stringify(failed));
    assertEquals(
      outcomes.all.filter(({ key, status }) => status === 200 && !requestLog.seen.has(key)),
      [],
    );
    // A repeatable request was repeated unless its response had begun; of the others some are lost at each
    // fault.
    const safe = failed.filter(({ key, status }) => key.startsWith("GET") && status !== 0);
    assertEquals(safe, [], "safe requests that failed");
    assertGreaterOrEqual(3 * CLIENTS, failed.length);
  },
);
