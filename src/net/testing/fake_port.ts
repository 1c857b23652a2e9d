/** A listening port on the fake kernel, with an HTTP server behind it. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { Server } from "../../http1/server.ts";
import type { ServerLimits } from "../../http1/server_limits.ts";
import { say } from "../../http1/testing/server_fixture.ts";
import { Deadlines } from "../deadlines.ts";
import { socketsIn } from "../linux/transport.ts";
import { TlsContexts } from "../tls_contexts.ts";
import type { FakeHost } from "./fake_host.ts";

export const PORT = 80;

/** A port at `PORT` of a fake kernel, and what was reported to its owner. */
export async function listeningOn(host: FakeHost, limits: Partial<ServerLimits> = {}) {
  const clock = new ManualClock();
  const reported: string[] = [];
  const server = new Server({ deadlines: new Deadlines(new ManualClock()), handler: say, limits });
  const embedded = host.embeddedLoop();
  const address = { kind: "tcp", host: "127.0.0.1", port: PORT } as const;
  const port = await socketsIn(embedded, new TlsContexts()).listen(address, server, {
    clock,
    onAcceptFailed: (error, retryInMs) => reported.push(`${error}, again in ${retryInMs} ms`),
  });
  if (typeof port === "string") throw new Error(port);
  return {
    port,
    clock,
    reported,
    server,
    async end() {
      port.close();
      await server.drain(AbortSignal.abort());
      await port.finished;
      assertEquals([host.open, clock.pending], [0, 0]);
      await embedded.stop();
    },
  };
}
