/** A client over HTTP/2 without TLS, told in the words of HTTP/1.1: many exchanges at one time. */
import type { Bytes } from "../../src/base/bytes.ts";
import { ERROR, FLAG, FRAME, readUint31, WINDOW_START } from "../../src/http2/frames.ts";
import {
  block,
  BlockReader,
  bytes,
  type Frame,
  frame,
  framesOf,
  joined,
  opening,
  printed,
} from "../../src/http2/testing/frames.ts";
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

/** Fields that HTTP/2 does not have, RFC 9113 section 8.2.2. */
const LEFT_OUT = new Set(["connection", "host", "transfer-encoding", "keep-alive"]);
const DATA_BYTES_MAX = 16_384;
/** The window of the connection, so large that only those of streams matter. */
const CONNECTION_WINDOW = 1 << 30;

/** One connection. */
export class Http2Client implements StoryClient {
  readonly conn: Deno.TcpConn;
  readonly blocks = new BlockReader();
  sendWindow = WINDOW_START;
  /** The highest number of a stream that GOAWAY said is served, and its error code. */
  goAway: { readonly last: number; readonly code: number } | undefined;
  readonly #exchanges = new Map<number, Http2Exchange>();
  #received: Bytes = new Uint8Array(0);
  #end: "ended" | "reset" | undefined;
  #reading: Promise<void> | undefined;
  #sending: Promise<void>;
  #lastId = -1;

  constructor(conn: Deno.TcpConn) {
    this.conn = conn;
    const widened = printed((out) => out.windowUpdate(0, CONNECTION_WINDOW));
    this.#sending = writeAll(conn, joined([opening(), widened]));
  }

  /** A client of the server at `HOST:PORT`. */
  static async to(address: string): Promise<Http2Client> {
    const { hostname, port } = new URL(`http://${address}`);
    return new Http2Client(await Deno.connect({ hostname, port: Number(port) }));
  }

  /** How the connection has ended. */
  get ended(): "ended" | "reset" | undefined {
    return this.#end;
  }

  begin(
    method: string,
    path: string,
    lines: readonly string[] = [],
    { hasBody = false }: Begun = {},
  ): Promise<Exchange> {
    return this.#open(fieldsOf(method, path, lines), !hasBody);
  }

  tunnel(path: string, lines: readonly string[] = []): Promise<Exchange> {
    const [, ...fields] = fieldsOf("CONNECT", path, ["Sec-WebSocket-Version: 13", ...lines]);
    const all: [string, string][] = [[":method", "CONNECT"], [":protocol", "websocket"], ...fields];
    return this.#open(all, false);
  }

  async #open(fields: readonly [string, string][], isWhole: boolean): Promise<Exchange> {
    const id = this.#lastId += 2;
    const exchange = new Http2Exchange(this, id, isWhole);
    this.#exchanges.set(id, exchange);
    const flags = isWhole ? FLAG.endHeaders | FLAG.endStream : FLAG.endHeaders;
    await this.write(frame(FRAME.headers, flags, id, block(fields)));
    return exchange;
  }

  /** True if GOAWAY has said that this exchange is not served, so that it may be begun on another connection. */
  isUnserved(exchange: Exchange): boolean {
    return exchange instanceof Http2Exchange && exchange.id > (this.goAway?.last ?? Infinity);
  }

  /** Sends it after what was sent before. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#sending = this.#sending.then(() => writeAll(this.conn, bytes));
  }

  async readToEnd(): Promise<"ended" | "reset"> {
    while (this.#end === undefined) await this.more();
    return this.#end;
  }

  /** Reads more, for whatever exchange it is. */
  more(): Promise<void> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  async #read(): Promise<void> {
    const read = await readOnce(this.conn);
    if (typeof read === "string") {
      this.#end = read;
      for (const exchange of this.#exchanges.values()) exchange.ended(read);
      return;
    }
    const all = joined([this.#received, read]);
    const [frames, taken] = framesOf(all);
    this.#received = all.subarray(taken);
    for (const one of frames) this.#take(one);
  }

  #take(one: Frame): void {
    const { type, stream, payload, flags } = one;
    if (type === "goAway") this.goAway = { last: readUint31(payload, 0), code: payload[7]! };
    else if (type === "settings" && (flags & FLAG.ack) === 0) {
      // The sends of a connection that ends meanwhile fail, and the story sees its end.
      this.write(frame(FRAME.settings, FLAG.ack, 0)).catch(() => {});
    } else if (type === "windowUpdate" && stream === 0) this.sendWindow += readUint31(payload, 0);
    else this.#exchanges.get(stream)?.take(one);
  }
}

class Http2Exchange extends Exchange {
  readonly #client: Http2Client;
  readonly id: number;
  readonly #parts: Part[] = [];
  #sendWindow = WINDOW_START;
  #isLocalEnd: boolean;
  #hasHead = false;
  #isReset = false;
  #end: ExchangeEnd | undefined;

  constructor(client: Http2Client, id: number, isWhole: boolean) {
    super();
    this.#client = client;
    this.id = id;
    this.#isLocalEnd = isWhole;
  }

  async send(part: string | Uint8Array): Promise<void> {
    const all = bytesOf(part);
    const client = this.#client;
    for (let at = 0; at < all.length;) {
      const room = Math.min(this.#sendWindow, client.sendWindow, DATA_BYTES_MAX);
      if (this.#isOver || (room <= 0 && this.#end !== undefined)) return;
      if (room <= 0) {
        await client.more();
        continue;
      }
      const data = all.subarray(at, at + room);
      at += data.length;
      this.#sendWindow -= data.length;
      client.sendWindow -= data.length;
      await client.write(frame(FRAME.data, 0, this.id, data));
    }
  }

  /** True if nothing may be sent any more. After the whole response a client may go on with its request. */
  get #isOver(): boolean {
    return this.#isReset || (this.#end !== undefined && this.#end !== "whole");
  }

  async end(trailers: readonly string[] = []): Promise<void> {
    if (this.#isOver || this.#isLocalEnd) return;
    this.#isLocalEnd = true;
    const flags = FLAG.endHeaders | FLAG.endStream;
    const last = trailers.length === 0
      ? frame(FRAME.data, FLAG.endStream, this.id)
      : frame(FRAME.headers, flags, this.id, block(trailers.map(fieldOf)));
    await this.#client.write(last);
  }

  leave(): Promise<void> {
    return this.#client.write(
      frame(FRAME.resetStream, 0, this.id, bytes(0, 0, 0, ERROR.cancel)),
    );
  }

  ended(end: ExchangeEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#parts.push({ kind: "end", end });
  }

  take({ type, payload, flags }: Frame): void {
    if (type === "windowUpdate") this.#sendWindow += readUint31(payload, 0);
    else if (type === "resetStream") {
      this.#isReset = true;
      this.ended("reset");
    } else if (type === "data") this.#parts.push({ kind: "data", bytes: payload });
    else if (type === "headers") this.#takeHead(payload);
    const isLast = (type === "data" || type === "headers") && (flags & FLAG.endStream) !== 0;
    if (isLast) this.ended("whole");
  }

  #takeHead(payload: Bytes): void {
    const [first = "", ...lines] = this.#client.blocks.lines(payload)!;
    if (this.#hasHead) {
      this.#parts.push({ kind: "trailers", lines: [first, ...lines] });
      return;
    }
    const status = Number(/^:status: (\d+)/.exec(first)?.[1] ?? 0);
    this.#hasHead = status >= 200;
    this.#parts.push({ kind: "head", head: headOf(status, "", lines) });
  }

  protected async next(): Promise<Part> {
    while (this.#parts.length === 0 && this.#end === undefined) await this.#client.more();
    const part = this.#parts.shift() ?? { kind: "end", end: this.#end! };
    if (part.kind === "data" && part.bytes.length > 0 && this.#end === undefined) {
      await this.#widen(part.bytes.length);
    }
    return part;
  }

  /** Lets the server send as much again as was read. */
  #widen(count: number): Promise<void> {
    const id = this.id;
    return this.#client.write(printed((out) => out.windowUpdate(id, count)));
  }
}

function fieldsOf(method: string, path: string, lines: readonly string[]): [string, string][] {
  const [, scheme, host, rest] = /^(https?):\/\/([^/?]*)(.*)$/.exec(path) ?? [];
  const fields = lines.map(fieldOf);
  const authority = host ?? fields.find(([name]) => name === "host")?.[1] ?? "front.test";
  return [
    [":method", method],
    [":scheme", scheme ?? "http"],
    [":path", rest ?? path],
    [":authority", authority],
    ...fields.filter(([name]) => !LEFT_OUT.has(name)),
  ];
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
