/** A client over HTTP/1.1 that keeps its connection: one exchange after the other. */
import {
  type Begun,
  bytesOf,
  Exchange,
  type ExchangeEnd,
  headOf,
  type Part,
  readOnce,
  type StoryClient,
  writeAll,
} from "./story_client.ts";

/** One connection. */
export class Http1Client implements StoryClient {
  readonly conn: Deno.TcpConn;
  /** Bytes that were read and belong to nothing yet; one character for each byte. */
  text = "";
  #end: "ended" | "reset" | undefined;

  constructor(conn: Deno.TcpConn) {
    this.conn = conn;
  }

  async begin(
    method: string,
    path: string,
    lines: readonly string[] = [],
    { hasBody = false }: Begun = {},
  ): Promise<Exchange> {
    const isDeclared = lines.some((line) => /^(content-length|transfer-encoding):/i.test(line));
    const host = lines.some((line) => /^host:/i.test(line)) ? [] : ["Host: front.test"];
    const framing = hasBody && !isDeclared ? ["Transfer-Encoding: chunked"] : [];
    const head = [`${method} ${path} HTTP/1.1`, ...host, ...lines, ...framing, "", ""];
    await writeAll(this.conn, bytesOf(head.join("\r\n")));
    const isChunked = framing.length > 0 || lines.some((line) => /^transfer-encoding:/i.test(line));
    return new Http1Exchange(this, method, isChunked);
  }

  tunnel(path: string, lines: readonly string[] = []): Promise<Exchange> {
    const upgrade = ["Upgrade: websocket", "Connection: Upgrade"];
    const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    return this.begin("GET", path, [...upgrade, key, "Sec-WebSocket-Version: 13", ...lines]);
  }

  /** Reads more into `text`; false at the end. */
  async more(): Promise<boolean> {
    const read = await this.read();
    if (read === undefined) return false;
    this.unread(read);
    return true;
  }

  /** Reads what is not in `text`; undefined at the end. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#end !== undefined) return undefined;
    const read = await readOnce(this.conn);
    if (typeof read !== "string") return read;
    this.#end = read;
    return undefined;
  }

  unread(bytes: Uint8Array): void {
    for (const byte of bytes) this.text += String.fromCharCode(byte);
  }

  async readToEnd(): Promise<"ended" | "reset"> {
    while (await this.more());
    return this.#end!;
  }

  /** How the connection has ended. */
  get ended(): "ended" | "reset" | undefined {
    return this.#end;
  }
}

class Http1Exchange extends Exchange {
  readonly #client: Http1Client;
  readonly #method: string;
  readonly #isChunked: boolean;
  #isTunnel = false;
  /** Bytes of the body or of its chunk that are missing; Infinity until the connection ends; undefined in a head. */
  #left: number | undefined;
  #hasChunks = false;
  #end: ExchangeEnd | undefined;

  constructor(client: Http1Client, method: string, isChunked: boolean) {
    super();
    this.#client = client;
    this.#method = method;
    this.#isChunked = isChunked;
  }

  send(part: string | Uint8Array): Promise<void> {
    const bytes = bytesOf(part);
    if (!this.#isChunked) return writeAll(this.#client.conn, bytes);
    const chunk = new Uint8Array(bytes.length + 12);
    const size = bytesOf(`${bytes.length.toString(16)}\r\n`);
    chunk.set(size);
    chunk.set(bytes, size.length);
    chunk.set([13, 10], size.length + bytes.length);
    return writeAll(this.#client.conn, chunk.subarray(0, size.length + bytes.length + 2));
  }

  async end(trailers: readonly string[] = []): Promise<void> {
    const { conn } = this.#client;
    if (this.#isTunnel) return await conn.closeWrite();
    if (!this.#isChunked) return;
    await writeAll(conn, bytesOf(["0", ...trailers, "", ""].join("\r\n")));
  }

  leave(): Promise<void> {
    this.#client.conn.close();
    return Promise.resolve();
  }

  protected async next(): Promise<Part> {
    if (this.#end !== undefined) return { kind: "end", end: this.#end };
    if (this.#left === undefined) return await this.#nextHead();
    if (this.#hasChunks && this.#left === 0) return await this.#nextChunk();
    return await this.#nextData();
  }

  async #nextHead(): Promise<Part> {
    const text = await this.#until("\r\n\r\n");
    if (text === undefined) return this.#ended(this.#client.ended!);
    const [first = "", ...lines] = text.split("\r\n");
    const [, status = "0", ...reason] = first.split(" ");
    const head = headOf(Number(status), reason.join(" "), lines);
    const { status: code } = head;
    this.#isTunnel = code === 101;
    if (code >= 200 || this.#isTunnel) {
      const length = head.get("content-length");
      this.#hasChunks = /chunked/i.test(head.get("transfer-encoding") ?? "");
      const hasNone = this.#method === "HEAD" || code === 204 || code === 304;
      if (hasNone || length === "0") this.#end = "whole";
      this.#left = this.#hasChunks ? 0 : length === undefined ? Infinity : Number(length);
    }
    return { kind: "head", head };
  }

  async #nextChunk(): Promise<Part> {
    const line = await this.#until("\r\n");
    if (line === undefined) return this.#ended(this.#client.ended!);
    this.#left = Number.parseInt(line, 16);
    if (this.#left > 0) return await this.#nextData();
    const lines: string[] = [];
    for (let text = await this.#until("\r\n"); text !== "";) {
      if (text === undefined) return this.#ended(this.#client.ended!);
      lines.push(text);
      text = await this.#until("\r\n");
    }
    this.#end = "whole";
    return { kind: "trailers", lines };
  }

  async #nextData(): Promise<Part> {
    const client = this.#client;
    const read = client.text === "" ? await client.read() : bytesOf(client.text);
    client.text = "";
    if (read === undefined) {
      const isWhole = this.#left === Infinity && client.ended === "ended";
      return this.#ended(isWhole ? "whole" : client.ended!);
    }
    const bytes = read.subarray(0, Math.min(this.#left!, read.length));
    client.unread(read.subarray(bytes.length));
    this.#left! -= bytes.length;
    if (this.#left === 0) {
      if (this.#hasChunks) await this.#until("\r\n");
      else this.#end = "whole";
    }
    return { kind: "data", bytes };
  }

  #ended(end: ExchangeEnd): Part {
    this.#end = end;
    return { kind: "end", end };
  }

  /** What comes before `mark`; undefined if the connection ends before it. */
  async #until(mark: string): Promise<string | undefined> {
    const client = this.#client;
    while (!client.text.includes(mark)) {
      if (!await client.more()) return undefined;
    }
    const at = client.text.indexOf(mark);
    const text = client.text.slice(0, at);
    client.text = client.text.slice(at + mark.length);
    return text;
  }
}
