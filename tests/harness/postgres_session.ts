/**
 * A client of PostgreSQL's protocol (version 3.0, chapter "Frontend/Backend Protocol" of its manual) for tests that
 * need many cheap sessions: no password, no TLS, simple queries. Every step has a deadline.
 */

const VERSION = 196_608;
/** Larger messages come from no server that a test asks. */
const MESSAGE_BYTES_MAX = 16_000_000;

/** What one query gave. */
export interface QueryResult {
  readonly rows: readonly (readonly (string | null)[])[];
  /** Notices and warnings of the server. */
  readonly notices: readonly string[];
}

/** One session as the superuser `postgres`. A step that fails leaves it unusable. */
export class PostgresSession implements Disposable {
  readonly #conn: Deno.TcpConn;
  #buffer = new Uint8Array(0);

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  /** Connects to `host:port` and logs in; rejects after `deadlineMs`. */
  static async open(address: string, deadlineMs: number): Promise<PostgresSession> {
    const [hostname, port] = address.split(":") as [string, string];
    const conn = await connectWithin(hostname, Number(port), deadlineMs);
    const session = new PostgresSession(conn);
    const body = new TextEncoder().encode("user\0postgres\0database\0postgres\0\0");
    const message = new Uint8Array(8 + body.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, message.length);
    view.setUint32(4, VERSION);
    message.set(body, 8);
    await session.#within(deadlineMs, async () => {
      await session.#send(message);
      await session.#answer();
    });
    return session;
  }

  /** Runs one statement; rejects with what the server says, or after `deadlineMs`. */
  async query(sql: string, deadlineMs: number): Promise<QueryResult> {
    const text = new TextEncoder().encode(sql);
    const message = new Uint8Array(text.length + 6);
    message[0] = "Q".charCodeAt(0);
    new DataView(message.buffer).setUint32(1, text.length + 5);
    message.set(text, 5);
    return await this.#within(deadlineMs, async () => {
      await this.#send(message);
      return await this.#answer();
    });
  }

  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch {
      // A deadline has closed it.
    }
  }

  /** Closes the connection if `step` takes longer, or fails. */
  async #within<T>(deadlineMs: number, step: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => this[Symbol.dispose](), deadlineMs);
    try {
      return await step();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(message: Uint8Array): Promise<void> {
    for (let at = 0; at < message.length;) at += await this.#conn.write(message.subarray(at));
  }

  /** Reads up to the server's "ready for query". */
  async #answer(): Promise<QueryResult> {
    const rows: (string | null)[][] = [];
    const notices: string[] = [];
    let failure: string | undefined;
    for (;;) {
      const head = await this.#read(5);
      const kind = String.fromCharCode(head[0]!);
      const length = new DataView(head.buffer, head.byteOffset).getUint32(1) - 4;
      if (length > MESSAGE_BYTES_MAX) throw new Error(`a message of ${length} bytes`);
      const body = await this.#read(length);
      if (kind === "D") rows.push(columnsOf(body));
      if (kind === "N") notices.push(textOf(body));
      if (kind === "E") failure = textOf(body);
      // The server closes the connection after a fatal error, and says nothing more.
      if (kind === "E" && /^(FATAL|PANIC)/.test(failure!)) throw new Error(failure);
      if (kind !== "Z") continue;
      if (failure !== undefined) throw new Error(failure);
      return { rows, notices };
    }
  }

  async #read(length: number): Promise<Uint8Array> {
    while (this.#buffer.length < length) {
      const chunk = new Uint8Array(16_384);
      const count = await this.#conn.read(chunk);
      if (count === null) throw new Error("the server has closed the connection");
      const joined = new Uint8Array(this.#buffer.length + count);
      joined.set(this.#buffer);
      joined.set(chunk.subarray(0, count), this.#buffer.length);
      this.#buffer = joined;
    }
    const part = this.#buffer.slice(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return part;
  }
}

async function connectWithin(
  hostname: string,
  port: number,
  deadlineMs: number,
): Promise<Deno.TcpConn> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), deadlineMs);
  try {
    return await Deno.connect({ hostname, port, signal: stop.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** The columns of a row as text; null is SQL's null. */
function columnsOf(body: Uint8Array): (string | null)[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const columns: (string | null)[] = [];
  let at = 2;
  for (let left = view.getUint16(0); left > 0; left--) {
    const length = view.getInt32(at);
    at += 4;
    columns.push(length < 0 ? null : new TextDecoder().decode(body.subarray(at, at + length)));
    at += Math.max(0, length);
  }
  return columns;
}

/** Severity and message of an error or a notice. */
function textOf(body: Uint8Array): string {
  const fields = new TextDecoder().decode(body).split("\0");
  const field = (code: string) => fields.find((each) => each.startsWith(code))?.slice(1) ?? "";
  return `${field("V")}: ${field("M")}`;
}
