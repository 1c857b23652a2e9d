/** Upstreams in the process of the test that fail when it says so, as a process that is killed or stopped cannot. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { closeConn } from "../../src/net/deno/conn.ts";
import { Filler } from "./upstream.ts";

/** Length of an accept queue that is filled quickly. */
const SHORT_QUEUE = 4;

/** An upstream in this process, which can reset existing and new connections. */
export class ResettingUpstream implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    if (this.#resets) return void socket.resetAndDestroy();
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", () => socket.write(this.#answer));
  });
  readonly #answer: string;
  #resets = false;

  private constructor(answer: string) {
    this.#answer = answer;
  }

  /** Every request gets the same answer. */
  static async start(answer: string): Promise<ResettingUpstream> {
    const upstream = new ResettingUpstream(answer);
    await new Promise<void>((resolve) => upstream.#server.listen(0, "127.0.0.1", resolve));
    return upstream;
  }

  get name(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.name}`;
  }

  resetAll(): void {
    this.#resets = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resetAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** An HTTP upstream in this process that stops answering any request when the test says so. */
export class SilencedUpstream implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: SHORT_QUEUE });
  readonly #port = (this.#listener.addr as Deno.NetAddr).port;
  readonly #conns: Deno.Conn[] = [];
  readonly #filler = new Filler(this.#port);
  #isSilent = false;
  readonly #accepting = this.#accept();
  readonly #response: Uint8Array;

  readonly url = `http://127.0.0.1:${this.#port}`;

  /** `response` is the answer to every request. */
  constructor(response: string) {
    this.#response = new TextEncoder().encode(response);
  }

  async #accept(): Promise<void> {
    while (!this.#isSilent) {
      const conn = await this.#listener.accept().catch(() => undefined);
      if (conn === undefined) return;
      this.#conns.push(conn);
      void this.#serve(conn).catch(() => {});
    }
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    while (await conn.read(new Uint8Array(4_096)) !== null) {
      if (!this.#isSilent) await conn.write(this.#response);
    }
  }

  async silence(): Promise<void> {
    this.#isSilent = true;
    await this.#filler.fill(SHORT_QUEUE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isSilent = true;
    await this.#filler[Symbol.asyncDispose]();
    this.#listener.close();
    await this.#accepting;
    for (const conn of this.#conns) closeConn(conn);
  }
}
