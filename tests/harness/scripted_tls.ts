/** A server of HTTPS in front of which a test can misbehave, for each connection from then on. */
import type { TlsFiles } from "../../src/gateway/tls/listen_tls.ts";
import { acceptedBy } from "./accepted.ts";

/** What it does with a connection: passes it on, or one of the things that no server should do. */
export type Behaviour = "well" | "stall" | "close" | "reset" | "garbage" | "half";

export class ScriptedTls implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #done: Promise<void>;
  #behaviour: Behaviour = "well";
  /** How many connections it has got. */
  count = 0;

  /** Answers each request with `says`. */
  constructor({ cert, key }: TlsFiles, says: string) {
    const options = { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} };
    this.#server = Deno.serve(options, () => new Response(says));
    this.#done = this.#accept();
  }

  get url(): string {
    return `https://localhost:${this.#listener.addr.port}`;
  }

  /** From now on, also for connections that are open: they are closed. */
  behave(behaviour: Behaviour): void {
    this.#behaviour = behaviour;
    for (const conn of this.#conns) close(conn);
    this.#conns.clear();
  }

  async #accept(): Promise<void> {
    for await (const conn of acceptedBy(this.#listener)) {
      this.count++;
      this.#conns.add(conn);
      void this.#serve(conn).catch(() => {});
    }
  }

  async #serve(conn: Deno.TcpConn): Promise<void> {
    const behaviour = this.#behaviour;
    if (behaviour === "stall") return;
    if (behaviour === "close") return close(conn);
    const hello = new Uint8Array(16_384);
    if (behaviour === "reset") {
      // What is left unread makes the kernel send a reset.
      await conn.read(new Uint8Array(1));
      return close(conn);
    }
    if (behaviour === "garbage") {
      await conn.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
      return;
    }
    const inner = await Deno.connect({ hostname: "127.0.0.1", port: this.#server.addr.port });
    this.#conns.add(inner);
    if (behaviour === "well") {
      await Promise.allSettled([pass(conn, inner), pass(inner, conn)]);
    } else {
      const count = await conn.read(hello);
      await inner.write(hello.subarray(0, count ?? 0));
      const answer = await inner.read(hello);
      await conn.write(hello.subarray(0, Math.floor((answer ?? 0) / 2)));
    }
    close(conn);
    close(inner);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.behave("well");
    await this.#done;
    await this.#server.shutdown();
  }
}

async function pass(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const room = new Uint8Array(16_384);
  for (;;) {
    const count = await from.read(room);
    if (count === null) return await to.closeWrite();
    for (let at = 0; at < count;) at += await to.write(room.subarray(at, count));
  }
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch {
    // It is closed already.
  }
}
