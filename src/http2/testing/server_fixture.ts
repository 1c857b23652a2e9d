/** A server on fake connections, and a client that speaks frames. */
import type { Bytes } from "../../base/bytes.ts";
import { ManualClock } from "../../base/clock.ts";
import type { WaitForPlace } from "../../http1/http2_preface.ts";
import type { ServerLimits } from "../../http1/server_limits.ts";
import { Deadlines } from "../../net/deadlines.ts";
import { type FakeConn, type MakePair } from "../../net/testing/fake_conn.ts";
import { FLAG, FRAME } from "../frames.ts";
import { Http2Server, type Http2ServerOptions } from "../server.ts";
import {
  block,
  BlockReader,
  type Frame,
  frame,
  framesOf,
  joined,
  opening,
  requestFields,
} from "./frames.ts";

/** What a client needs of its connection: `Deno.Conn` has it, too. */
export interface Wire {
  read(buffer: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** A client of a test. */
export class FrameClient<C extends Wire = FakeConn> {
  readonly conn: C;
  readonly blocks = new BlockReader();
  /** True once a byte has come from the server. */
  hasHeard = false;
  #sending = Promise.resolve();
  #received: Bytes = new Uint8Array(0);

  constructor(conn: C) {
    this.conn = conn;
  }

  /** Sends these bytes after those of earlier calls, which may still be under way. */
  send(...parts: Uint8Array[]): Promise<void> {
    const bytes = joined(parts);
    return this.#sending = this.#sending.then(async () => {
      for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
    });
  }

  /** Sends a request without a body. */
  get(id: number, path = "/"): Promise<void> {
    const fields = block(requestFields("GET", path));
    return this.send(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, fields));
  }

  /** Begins a request whose body follows. */
  post(id: number, path = "/", more: readonly (readonly [string, string])[] = []): Promise<void> {
    const fields = block(requestFields("POST", path, more));
    return this.send(frame(FRAME.headers, FLAG.endHeaders, id, fields));
  }

  data(id: number, text: string, isLast = false): Promise<void> {
    return this.send(frame(FRAME.data, isLast ? FLAG.endStream : 0, id, text));
  }

  /** The next frame of a response, a reset, or a GOAWAY; undefined at the end of the connection. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const [frames] = framesOf(this.#received);
      const [first] = frames;
      if (first === undefined) {
        if (!await this.#read()) return undefined;
        continue;
      }
      this.#received = this.#received.slice(9 + first.payload.length);
      if (first.type !== "settings" && first.type !== "windowUpdate") return first;
    }
  }

  async #read(): Promise<boolean> {
    const buffer = new Uint8Array(65_536);
    const count = await this.conn.read(buffer).catch(() => null);
    if (count === null) return false;
    this.hasHeard = true;
    this.#received = joined([this.#received, buffer.subarray(0, count)]);
    return true;
  }

  /** Reads the response to the only request under way. */
  async response(): Promise<{ lines: string[]; body: string; end: string }> {
    const lines: string[] = [];
    let body = "";
    for (;;) {
      const one = await this.next();
      if (one === undefined) return { lines, body, end: "closed" };
      if (one.type === "headers") lines.push(...this.blocks.lines(one.payload)!);
      else if (one.type === "data") body += new TextDecoder("latin1").decode(one.payload);
      else return { lines, body, end: `${one.type} ${one.payload[3]}` };
      if ((one.flags & FLAG.endStream) !== 0) return { lines, body, end: "end" };
    }
  }
}

/** A server with a manual clock. */
export function http2Fixture(
  handler: Http2ServerOptions["handler"],
  pair: MakePair,
  limits: Partial<ServerLimits> = {},
) {
  const clock = new ManualClock();
  const faults: string[] = [];
  const errors: unknown[] = [];
  const server = new Http2Server({
    deadlines: new Deadlines(clock),
    handler,
    limits,
    isReserved: (path) => path === "/own",
    onBroken: (rule) => faults.push(`broken: ${rule}`),
    onMalformed: (fault) => faults.push(`malformed: ${fault.fault}`),
    onFault: (fault) => faults.push(fault.fault),
    onError: (error) => errors.push(error),
  });
  /** A new client that has sent the preface; `done` resolves when the server has ended with it. */
  const connect = async (
    room?: number,
    waitForPlace?: WaitForPlace,
    isWanted: () => boolean = () => false,
  ) => {
    const [conn, end] = pair(room);
    const done = server.serve(end, "192.0.2.7", isWanted, waitForPlace);
    const client = new FrameClient(conn);
    await client.send(opening());
    return { client, end, done };
  };
  /** Lets time pass, one tick after the other. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 250) await clock.advance(250);
  };
  return { clock, server, faults, errors, connect, pass };
}
