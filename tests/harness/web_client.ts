/**
 * An HTTP client that does exactly what the test orders: no retry, no redirect, no decompression, and
 * a connection whose end can be observed. `fetch` hides all of these.
 */
import { connectTo } from "./client.ts";
import { withTestDeadline } from "./test_deadline.ts";
import { LineConn } from "./line_conn.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** One request: its header lines, and its body. */
export interface Sent {
  readonly method?: string;
  readonly target: string;
  readonly lines?: readonly string[];
  readonly body?: string;
}

export class WebConnection {
  readonly conn: LineConn;

  /** The connection owns `conn` from here on. */
  constructor(conn: LineConn) {
    this.conn = conn;
  }

  static async to(address: string): Promise<WebConnection> {
    return new WebConnection(await connectTo(address));
  }

  async send({ method = "GET", target, lines = [], body = "" }: Sent): Promise<void> {
    const length = new TextEncoder().encode(body).length;
    const isFramed = lines.some((line) => /^(transfer-encoding|content-length):/i.test(line));
    const framing = length === 0 || isFramed ? [] : [`Content-Length: ${length}`];
    const host = lines.some((line) => /^host:/i.test(line)) ? [] : ["Host: site.example"];
    const head = [`${method} ${target} HTTP/1.1`, ...host, ...lines, ...framing];
    await this.conn.send(new TextEncoder().encode([...head, "", body].join("\r\n")));
  }

  /** Status and headers of the next response. Throws if the connection ended before. */
  async head(): Promise<Pick<Reply, "status" | "headers">> {
    const first = await this.conn.line();
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first ?? "")?.[1]);
    if (!(status > 0)) throw new Error(`no response, but ${first ?? "an end"}`);
    const headers = new Headers();
    for (;;) {
      const line = (await this.conn.line())?.replace(/\r$/, "");
      if (line === undefined) throw new Error("the head of a response was cut");
      if (line === "") return { status, headers };
      const colon = line.indexOf(":");
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    }
  }

  /** The whole next response. Throws if it ended before its end. */
  async reply(method = "GET"): Promise<Reply> {
    const { status, headers } = await this.head();
    const decoder = new TextDecoder();
    const none = method === "HEAD" || status === 204 || status === 304;
    const length = headers.get("content-length");
    let text = "";
    if (none) return { status, headers, text };
    if (headers.get("transfer-encoding") === "chunked") {
      for (let part = await this.chunk(); part !== undefined; part = await this.chunk()) {
        text += decoder.decode(part, { stream: true });
      }
    } else if (length !== null) text = decoder.decode(await this.conn.bytes(Number(length)));
    else text = await this.conn.rest();
    return { status, headers, text };
  }

  /** The next chunk of a chunked body; undefined after the last. */
  async chunk(): Promise<Uint8Array | undefined> {
    const line = await this.conn.line();
    if (line === undefined) throw new Error("a chunked body was cut");
    const size = parseInt(line, 16);
    const part = await this.conn.bytes(size);
    await this.conn.line();
    return size === 0 ? undefined : part;
  }

  close(): void {
    this.conn.close();
  }
}

/** One request on a separate connection. `log` is shown if there is no answer. */
export async function request(
  address: string,
  sent: Sent,
  log: () => string = () => "",
): Promise<Reply> {
  const connection = await WebConnection.to(address);
  try {
    await connection.send({ ...sent, lines: ["Connection: close", ...sent.lines ?? []] });
    const what = `an answer to ${sent.method ?? "GET"} ${sent.target}`;
    return await withTestDeadline(what, connection.reply(sent.method), log);
  } catch (error) {
    throw new Error(`${sent.method ?? "GET"} ${sent.target} at ${address}\n${log()}`, {
      cause: error,
    });
  } finally {
    connection.close();
  }
}

/** One GET, as `request`. A refused connection is thrown as it is. */
export async function ask(address: string, target: string): Promise<Reply> {
  const connection = await WebConnection.to(address);
  try {
    await connection.send({ target, lines: ["Connection: close"] });
    return await withTestDeadline(`an answer to ${target}`, connection.reply());
  } finally {
    connection.close();
  }
}
