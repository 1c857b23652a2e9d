/**
 * The whole program between 200 clients and two upstreams in separate processes, while the primary is
 * killed, frozen and restarted. Every request has an id, and the upstreams log the ids that they received.
 */
import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Proxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { parsed } from "./gateway_fixture.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const CLIENTS = 200;
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

/** Sends request after request on kept connections until `stop` is aborted. */
async function client(port: number, number: number, stop: AbortSignal, outcomes: Outcomes) {
  const method = number % 2 === 0 ? "GET" : "POST";
  let conn: Deno.TcpConn | undefined;
  for (let i = 0; !stop.aborted; i++) {
    conn ??= await Deno.connect({ hostname: "127.0.0.1", port });
    const key = `${method} ${number}-${i}`;
    const text = await exchange(conn, method, `${number}-${i}`);
    const { status, get } = parsed(text);
    outcomes.add({ key, status, failover: get("failover") ?? "" });
    if (status === 0 || get("connection") === "close") {
      conn.close();
      conn = undefined;
    }
  }
  conn?.close();
}

async function exchange(conn: Deno.TcpConn, method: string, id: string): Promise<string> {
  const body = method === "POST" ? "Content-Length: 4\r\n\r\nbody" : "\r\n";
  const request = `${method} / HTTP/1.1\r\nHost: front.test\r\nX-Id: ${id}\r\n${body}`;
  const buffer = new Uint8Array(4096);
  let text = "";
  try {
    await conn.write(new TextEncoder().encode(request));
    for (;;) {
      const count = await conn.read(buffer);
      if (count === null) return "";
      text += new TextDecoder().decode(buffer.subarray(0, count));
      const end = text.indexOf("\r\n\r\n");
      const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1];
      if (end >= 0 && text.length >= end + 4 + Number(length)) return text;
    }
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return "";
    if (error instanceof Deno.errors.BrokenPipe) return "";
    throw error;
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
      "--check-timeout=500ms",
      "--failback-damping=off",
      `--listen=127.0.0.1:${front}`,
    ];
    await using proxy = new Proxy([...ways, ...flags, ...quick], {});
    let last = await proxy.event("promotion.finished", { to: a });
    const moved = async (to: string) => {
      last = await proxy.event("promotion.finished", { to }, last);
    };
    const stop = new AbortController();
    const outcomes = new Outcomes();
    const clients = Array.from(
      { length: CLIENTS },
      (_, n) => client(front, n, stop.signal, outcomes),
    );
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
      await primary.kill();
    }
    const failed = outcomes.all.filter(({ status }) => status !== 200);
    const twice = [...requestLog.seen].filter(([key, count]) =>
      key.startsWith("POST") && count > 1
    );
    console.log(
      `    ${outcomes.all.length} requests, ${failed.length} failed after they had been sent`,
    );
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
