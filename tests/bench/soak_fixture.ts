/** Parts of a soak test: upstreams that go down and come back at once, clients, and the resources of the proxy. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { type Proxy, startProxy } from "../harness/proxy.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

export type Mode = "tcp" | "http";

/** An upstream in this process: answers each request with its name, and can go down and come back at once. */
export class ToggledUpstream implements AsyncDisposable {
  readonly says: string;
  readonly port = unusedPort();
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(says: string) {
    this.says = says;
  }

  get name(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `http://${this.name}`;
  }

  async back(): Promise<void> {
    const text = `HTTP/1.1 200 OK\r\nContent-Length: ${this.says.length}\r\n` +
      `Connection: close\r\n\r\n${this.says}`;
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", () => socket.end(text));
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject);
      server.listen(this.port, "127.0.0.1", resolve);
    });
  }

  /** Refuses from now on; the clients that it was serving are reset. */
  async gone(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.gone();
  }
}

export interface Wanted {
  readonly mode: Mode;
  readonly relay: string;
  readonly flags?: Readonly<Record<string, string>>;
  /** The host names of the upstreams; their address by default. */
  readonly host?: string;
  readonly under?: readonly string[];
}

/** Starts the proxy with two upstreams and short check intervals. */
export async function startBetween(
  [first, second]: readonly [ToggledUpstream, ToggledUpstream],
  { mode, relay, flags, host, under }: Wanted,
): Promise<Proxy> {
  const address = (upstream: ToggledUpstream) =>
    host === undefined ? upstream.name : `${host}:${upstream.port}`;
  const quick = {
    relay,
    "log-level": "info",
    "check-interval": "50ms",
    "recover-threshold": "1",
    ...flags,
  };
  const more = under === undefined ? {} : { under };
  if (mode === "tcp") {
    const upstreams = [first, second].map((each) => ({ name: address(each) }));
    return await startProxy({ upstreams, flags: quick, ...more });
  }
  const [primary, backup] = [first, second].map((each) => ({ url: `http://${address(each)}` }));
  return await startWebProxy({
    primary: primary!,
    backups: [backup!],
    flags: { ...quick, "check-path": "/" },
    ...more,
  });
}

/** One request on a separate connection; resolves with who answered, undefined if nobody did. */
export function ask(address: string): Promise<string | undefined> {
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    let text = "";
    socket.setTimeout(15_000, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("data", (data: Uint8Array) => text += new TextDecoder().decode(data));
    socket.on("close", () => resolve(/^HTTP\/1\.1 200 [^]*\r\n\r\n(\w+)$/.exec(text)?.[1]));
    socket.write("GET / HTTP/1.1\r\nHost: soak.test\r\nConnection: close\r\n\r\n");
  });
}

/** Asks until `says` answers. */
export async function until(address: string, says: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (await ask(address) !== says) {
    if (performance.now() > deadline) throw new Error(`${says} did not answer within 20 s`);
    await pause(10);
  }
}

export interface ResourceUse {
  readonly fds: number;
  readonly rssKb: number;
  /** The number of its child processes, zombies included. */
  readonly children: number;
}

export function resourceUse(pid: number): ResourceUse {
  const fds = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
  const rssKb = Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
  let children = 0;
  for (const task of Deno.readDirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${task.name}/children`;
    // A thread may have ended since it was listed.
    try {
      children += Deno.readTextFileSync(path).split(" ").filter((each) => each !== "").length;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return { fds, rssKb, children };
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
