/**
 * For tests of the contract of both kinds of sockets: each test runs once with Deno's and once with the
 * kernel's.
 */
import { ManualClock, realClock } from "../../base/clock.ts";
import type { Conn } from "../../net/conn.ts";
import { denoSockets } from "../../net/deno/transport.ts";
import { Deadlines } from "../../net/deadlines.ts";
import { type Handler, Server } from "../server.ts";
import type { ServerLimits } from "../server_limits.ts";
import type { ListeningPort, Sockets } from "../../net/transport.ts";
import { linuxSockets } from "../../net/linux/transport.ts";

export interface TransportKind {
  readonly name: "deno" | "linux";
  readonly make: () => Sockets;
}

export const KINDS: readonly TransportKind[] = [
  { name: "deno", make: () => denoSockets },
  ...(Deno.build.os === "linux"
    ? [{ name: "linux", make: () => linuxSockets(realClock) } as const]
    : []),
];

/** Registers a test for each kind; its sockets are closed after it. */
export function onBoth(
  name: string,
  run: (sockets: Sockets, kind: TransportKind) => Promise<void>,
): void {
  for (const kind of KINDS) {
    Deno.test(`${kind.name}: ${name}`, async () => {
      const sockets = kind.make();
      try {
        await run(sockets, kind);
      } finally {
        await sockets.close();
      }
    });
  }
}

/** A listener of Deno, from which only the test accepts. */
export function tcpListener(backlog = 16): Deno.TcpListener {
  return Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: backlog });
}

/** A connection of `sockets`, and its other end, which the test controls. */
export async function joined(sockets: Sockets): Promise<{ conn: Conn; peer: Deno.TcpConn }> {
  using listening = tcpListener();
  const { port } = listening.addr;
  const dial = sockets.dialer({ hostname: "127.0.0.1", port, clock: realClock, connectMs: 20_000 });
  const [conn, peer] = await Promise.all([dial(), listening.accept()]);
  return { conn, peer };
}

/** A server on a port that the system chooses. */
export async function serve(
  sockets: Sockets,
  handler: Handler,
  limits: Partial<ServerLimits> = {},
): Promise<
  {
    port: ListeningPort;
    number: number;
    /** The reported failures of accept. */
    complaints: string[];
    end: () => Promise<void>;
  }
> {
  const deadlines = new Deadlines(new ManualClock());
  const server = new Server({ deadlines, handler, limits });
  const asked = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const complaints: string[] = [];
  const onAcceptFailed = (error: unknown) => complaints.push(String(error));
  const port = await sockets.listen(asked, server, { clock: realClock, onAcceptFailed });
  if (typeof port === "string") throw new Error(port);
  return {
    port,
    complaints,
    number: port.address.kind === "tcp" ? port.address.port : 0,
    async end() {
      port.close();
      await server.drain(AbortSignal.abort());
    },
  };
}

/** Lets everything that is ready happen until `count` has stopped growing. */
export async function untilStill(count: () => number): Promise<void> {
  for (let before = -1; before !== count();) {
    before = count();
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  }
}
