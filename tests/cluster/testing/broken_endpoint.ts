/** Peers on real sockets that stand on the list of endpoints, and are no etcd that works. */
import { acceptedBy } from "../../harness/accepted.ts";

/** What one does with a request. */
type Serve = (conn: Deno.TcpConn) => Promise<void>;

const GIGABYTE = 1 << 30;
const LINE_BYTES = 1 << 16;

const OK = "HTTP/1.1 200 OK\r\n";
const SHAPE = JSON.stringify({
  header: { cluster_id: "7", revision: "1", raft_term: "1" },
  ...{ kvs: {}, ID: 5, TTL: {}, result: [] },
});

async function request(conn: Deno.TcpConn): Promise<void> {
  await conn.read(new Uint8Array(LINE_BYTES));
}

async function send(conn: Deno.TcpConn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Each of them, and a part of the reason that a proxy must give. */
export const MANNERS: Readonly<Record<string, { readonly serve: Serve; readonly said: RegExp }>> = {
  "accepts and says nothing": {
    serve: async (conn) => {
      while (await conn.read(new Uint8Array(LINE_BYTES)) !== null);
    },
    said: /no answer in time/,
  },
  "sends one byte a second": {
    serve: async (conn) => {
      await request(conn);
      for (const byte of `${OK}content-length: 99\r\n\r\n{`) {
        await send(conn, byte);
        await new Promise((resolve) => setTimeout(resolve, 1_000));
      }
    },
    said: /no answer in time/,
  },
  "resets in the middle of an answer": {
    serve: async (conn) => {
      // What is left unread makes its end a reset.
      await conn.read(new Uint8Array(1));
      await send(conn, `${OK}content-length: 99\r\n\r\n{"header":`);
    },
    said: /reset|body|connection|incomplete/i,
  },
  "answers a gigabyte of junk": {
    serve: async (conn) => {
      await request(conn);
      await send(conn, `${OK}content-length: ${GIGABYTE}\r\n\r\n`);
      const part = "x".repeat(1 << 20);
      for (let sent = 0; sent < GIGABYTE; sent += part.length) await send(conn, part);
    },
    said: /too long|no answer in time/,
  },
  "talks without end, in lines": {
    serve: async (conn) => {
      await request(conn);
      await send(conn, `${OK}\r\n`);
      const line = `${'{"result":{}}\n'.repeat(1_000)}`;
      for (let count = 0; count < 100_000; count++) await send(conn, line);
    },
    said: /too long|no answer in time|no header/,
  },
  "answers with JSON of another shape": {
    serve: async (conn) => {
      await request(conn);
      await send(
        conn,
        `${OK}connection: close\r\ncontent-length: ${SHAPE.length}\r\n\r\n${SHAPE}`,
      );
    },
    said: /not one of etcd/,
  },
};

/** Serves every connection in one of these manners, until it is disposed of. */
export class BrokenEndpoint implements AsyncDisposable {
  /** How often somebody connected. */
  asked = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #work: Promise<void>;

  constructor(serve: Serve) {
    this.#work = this.#accept(serve);
  }

  /** `host:port` at which it listens. */
  get address(): string {
    return `127.0.0.1:${this.#listener.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) close(conn);
    await this.#work;
  }

  async #accept(serve: Serve): Promise<void> {
    const ends: Promise<void>[] = [];
    try {
      for await (const conn of acceptedBy(this.#listener)) {
        this.asked++;
        this.#conns.add(conn);
        ends.push(
          serve(conn).catch(() => {}).finally(() => {
            this.#conns.delete(conn);
            close(conn);
          }),
        );
      }
    } catch {
      // A connection was reset before it was taken.
    }
    await Promise.all(ends);
  }
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch {
    // It is closed already.
  }
}
