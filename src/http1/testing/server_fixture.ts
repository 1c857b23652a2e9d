/** A server on fake connections, and small apps, for the tests of the server. */
import { ManualClock } from "../../base/clock.ts";
import { type FakeConn, fakePair, type MakePair, onConns } from "../../net/testing/fake_conn.ts";
import { Deadlines } from "../../net/deadlines.ts";
import { type Handler, Server, type ServerOptions } from "../server.ts";
import type { ServerLimits } from "../server_limits.ts";

/** A server whose clients the test makes. */
export interface ServerFixture {
  readonly clock: ManualClock;
  readonly server: Server;
  readonly faults: string[];
  /** A new client; `done` resolves when the server has ended with it. */
  connect(room?: number): { client: FakeConn; server: FakeConn; done: Promise<void> };
}

/** A server with a manual clock. */
export function serverFixture(
  handler: Handler,
  limits: Partial<ServerLimits> = {},
  pair: MakePair = fakePair,
  options: Partial<ServerOptions> = {},
): ServerFixture {
  const clock = new ManualClock();
  const faults: string[] = [];
  const server = new Server({
    deadlines: new Deadlines(clock),
    handler,
    limits,
    onFault: (fault) => faults.push(fault.fault),
    ...options,
  });
  return {
    clock,
    server,
    faults,
    connect(room?: number) {
      const [client, end] = pair(room);
      return { client, server: end, done: server.serve(end, "peer") };
    },
  };
}

/** Registers a test once for each kind of connections. */
export function serverTest(
  name: string,
  run: (
    make: (
      handler: Handler,
      limits?: Partial<ServerLimits>,
      options?: Partial<ServerOptions>,
    ) => ServerFixture,
  ) => Promise<void>,
): void {
  onConns(
    name,
    (pair) => run((handler, limits, options) => serverFixture(handler, limits, pair, options)),
  );
}

/** Encodes text. */
export const text = new TextEncoder();
/** A whole request. */
export const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/** Answers with the path. */
export const say: Handler = async (exchange) => {
  exchange.respond(200, "OK");
  await exchange.send(text.encode(exchange.head.path));
};
/** Answers with the request's body. */
export const readAll: Handler = async (exchange) => {
  let body = "";
  for (let part = await exchange.body.read(); part; part = await exchange.body.read()) {
    body += new TextDecoder().decode(part);
  }
  exchange.respond(200, "OK");
  await exchange.send(text.encode(body));
};
