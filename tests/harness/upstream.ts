/**
 * Upstreams for the scenarios: healthy ones in separate processes, which can be killed, frozen and
 * restarted at the same address, and a few that are never healthy.
 */
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Child } from "./child.ts";
import { withTestDeadline } from "./test_deadline.ts";
import type { UpstreamPlan } from "./upstream_program.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { acceptedBy } from "./accepted.ts";

/** Anything that can be listed in `--hosts`. */
export interface Named {
  /** Its address in the form of `--hosts`. */
  readonly name: string;
}

const PROGRAM = new URL("./upstream_program.ts", import.meta.url).pathname;
const PERMISSIONS = ["--allow-net", "--allow-read", "--allow-write"];

export type UpstreamOptions = Pick<UpstreamPlan, "says"> & Partial<UpstreamPlan>;

export class UpstreamProcess implements Named, AsyncDisposable {
  readonly says: string;
  readonly name: string;
  readonly #plan: UpstreamPlan;
  readonly #under: readonly string[];
  #child: Child;
  /** Connections that only fill the accept queue. */
  #fillers: Filler | undefined;

  private constructor(plan: UpstreamPlan, under: readonly string[], child: Child) {
    this.says = plan.says;
    this.name = nameOf(plan.listen);
    this.#plan = plan;
    this.#under = under;
    this.#child = child;
  }

  static async start(plan: UpstreamPlan, under: readonly string[]): Promise<UpstreamProcess> {
    const [listen, child] = await launch(plan, under);
    return new UpstreamProcess({ ...plan, listen }, under, child);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Kills it. Resolves when its port refuses connections. */
  async kill(): Promise<void> {
    await this.#child.kill();
  }

  /** Stops the process; the kernel continues to accept for it until its queue is full. */
  async freeze(): Promise<void> {
    await this.#child.freeze();
  }

  thaw(): void {
    this.#child.thaw();
  }

  /** Freezes it and fills its accept queue, so that a connection gets no answer at all. */
  async blackHole(): Promise<void> {
    if (this.#plan.listen.transport !== "tcp") throw new Error("only TCP has black holes");
    await this.freeze();
    this.#fillers = new Filler(this.#plan.listen.port);
    await this.#fillers.fill(this.#plan.backlog);
  }

  /** Starts it again at the same address. */
  async restart(): Promise<void> {
    await this.kill();
    const { listen } = this.#plan;
    // A process that was killed leaves its socket file.
    if (listen.transport === "unix") await Deno.remove(listen.path);
    [, this.#child] = await launch(this.#plan, this.#under);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fillers?.[Symbol.asyncDispose]();
    await this.kill();
  }
}

/**
 * Starts an upstream on a port that nobody else gets while it is killed; resolves when it listens. `under` is a command that
 * starts the rest of its arguments with its own process id.
 */
export function startUpstream(
  options: UpstreamOptions,
  under: readonly string[] = [],
): Promise<UpstreamProcess> {
  return UpstreamProcess.start({
    listen: { transport: "tcp", hostname: "127.0.0.1", port: unusedPort() },
    backlog: 511,
    greets: false,
    proxyLine: false,
    ...options,
  }, under);
}

async function launch(
  plan: UpstreamPlan,
  under: readonly string[],
): Promise<[UpstreamPlan["listen"], Child]> {
  const listening = Promise.withResolvers<UpstreamPlan["listen"]>();
  const complaints: string[] = [];
  const [command, ...before] = [...under, Deno.execPath()];
  const child = new Child(command!, {
    args: [
      ...before,
      ...["run", "--quiet", "--no-prompt", ...PERMISSIONS, PROGRAM, JSON.stringify(plan)],
    ],
    onOut: (line) => listening.resolve(JSON.parse(line)),
    onErr: (line) => complaints.push(line),
  });
  const failed = child.ended.then(() => {
    throw new Error(`upstream ${plan.says} did not start:\n${complaints.join("\n")}`);
  });
  // Later its end is expected.
  failed.catch(() => {});
  const what = `upstream ${plan.says} to listen`;
  return [await withTestDeadline(what, Promise.race([listening.promise, failed])), child];
}

function nameOf(listen: UpstreamPlan["listen"]): string {
  if (listen.transport === "unix") return `unix:${listen.path}`;
  const host = listen.hostname.includes(":") ? `[${listen.hostname}]` : listen.hostname;
  return `${host}:${listen.port}`;
}

/** Clients in the accept queue of a listener on 127.0.0.1 (proc_net_tcp(5): state 0A, rx_queue). */
function queueLength(port: number): number {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const row = Deno.readTextFileSync("/proc/net/tcp").split("\n")
    .map((line) => line.trim().split(/\s+/)).find((each) => each[1] === local && each[3] === "0A");
  return row === undefined ? 0 : parseInt(row[4]!.split(":")[1]!, 16);
}

/** Fills the accept queue of a port from which nobody accepts, until the kernel answers no more connects. */
export class Filler implements AsyncDisposable {
  readonly #port: number;
  readonly #abort = new AbortController();
  #attempts: readonly Promise<void>[] = [];
  readonly #conns: Deno.Conn[] = [];

  constructor(port: number) {
    this.#port = port;
  }

  /**
   * Linux queues `backlog + 1` connections; attempts beyond that stay without an answer. Connections of
   * the proxy are in the queue as well, so the kernel is asked for its length.
   */
  async fill(backlog: number): Promise<void> {
    const full = Promise.withResolvers<void>();
    const length = () => Deno.build.os === "linux" ? queueLength(this.#port) : this.#conns.length;
    const look = setInterval(() => length() > backlog && full.resolve(), 20);
    this.#attempts = Array.from({ length: backlog + 4 }, async () => {
      try {
        const conn = await Deno.connect({ port: this.#port, signal: this.#abort.signal });
        this.#conns.push(conn);
      } catch (error) {
        if (!this.#abort.signal.aborted) full.reject(error);
      }
    });
    try {
      await withTestDeadline("an accept queue to be full", full.promise);
    } finally {
      clearInterval(look);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#attempts);
    for (const conn of this.#conns) conn.close();
  }
}

/** An upstream that refuses every connection. */
export function refusingUpstream(): Named {
  return { name: `127.0.0.1:${unusedPort()}` };
}

/** An upstream whose connections get no answer from the start. */
export async function blackHoleUpstream(): Promise<Named & AsyncDisposable> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { port } = listener.addr as Deno.NetAddr;
  const filler = new Filler(port);
  await filler.fill(1);
  return {
    name: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await filler[Symbol.asyncDispose]();
      listener.close();
    },
  };
}

/** An upstream that answers with `says`, and then resets the connection instead of ending it. */
export async function resettingUpstream(says: string): Promise<Named & AsyncDisposable> {
  const server = createServer((socket) => {
    // A peer that resets first has ended as well.
    socket.on("error", () => {});
    socket.on("data", () => {
      socket.write(`${says}\n`, () => socket.resetAndDestroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    name: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** An upstream that accepts every connection and never sends anything. */
export function silentUpstream(): Named & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conns: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const conn of acceptedBy(listener)) conns.push(conn);
  })();
  return {
    name: `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      for (const conn of conns) conn.close();
    },
  };
}
