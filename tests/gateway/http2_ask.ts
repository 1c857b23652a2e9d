/** One request over HTTP/2 without TLS, told in the words of HTTP/1.1, so that a story can be told over both. */
import { FLAG, FRAME } from "../../src/http2/frames.ts";
import { block, BlockReader, frame, opening } from "../../src/http2/testing/frames.ts";
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import type { Answer } from "./gateway_fixture.ts";

/** A request; `lines` are those of HTTP/1.1. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly lines: readonly string[];
  readonly body: string;
}

/** Fields that HTTP/2 does not have, RFC 9113 section 8.2.2. */
const LEFT_OUT = new Set(["connection", "host", "transfer-encoding", "keep-alive"]);
const DATA_BYTES_MAX = 16_384;

/** Asks on a connection of its own, which the caller closes. */
export async function askHttp2(conn: Deno.Conn, asked: Asked): Promise<Answer> {
  const client = new FrameClient<Deno.Conn>(conn);
  const bytes = new TextEncoder().encode(asked.body);
  const hasBody = bytes.length > 0;
  const flags = hasBody ? FLAG.endHeaders : FLAG.endHeaders | FLAG.endStream;
  await client.send(
    opening(),
    frame(FRAME.headers, flags, 1, block(fieldsOf(asked, bytes.length))),
  );
  // The server may answer before it has read everything, and read nothing after that.
  const sending = sendBody(client, bytes).catch(() => {});
  const answer = await readAnswer(client);
  await sending;
  return answer;
}

function fieldsOf({ method, path, lines }: Asked, length: number): [string, string][] {
  const [, scheme, host, rest] = /^(https?):\/\/([^/?]*)(.*)$/.exec(path) ?? [];
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const authority = host ?? fields.find(([name]) => name === "host")?.[1] ?? "front.test";
  const isChunked = fields.some(([name]) => name === "transfer-encoding");
  return [
    [":method", method],
    [":scheme", scheme ?? "http"],
    [":path", rest ?? path],
    [":authority", authority],
    ...fields.filter(([name]) => !LEFT_OUT.has(name)),
    ...length > 0 && !isChunked ? [["content-length", String(length)] as [string, string]] : [],
  ];
}

/** Sends no more than the window at the start, which is enough for bodies of these tests. */
async function sendBody(client: FrameClient<Deno.Conn>, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += DATA_BYTES_MAX) {
    const isLast = at + DATA_BYTES_MAX >= bytes.length;
    const part = bytes.subarray(at, at + DATA_BYTES_MAX);
    await client.send(frame(FRAME.data, isLast ? FLAG.endStream : 0, 1, part));
  }
}

/** The final response; its status is 0 if the stream was reset before it, or the connection has ended. */
async function readAnswer(client: FrameClient<Deno.Conn>): Promise<Answer> {
  const blocks = new BlockReader();
  let status = 0;
  let lines: string[] = [];
  let body = "";
  for (let isLast = false; !isLast;) {
    const one = await client.next();
    if (one === undefined || one.type === "resetStream" || one.type === "goAway") break;
    isLast = (one.flags & FLAG.endStream) !== 0;
    if (one.type === "data") {
      for (const byte of one.payload) body += String.fromCharCode(byte);
    } else if (one.type === "headers") {
      const fields = blocks.lines(one.payload)!;
      const final = Number(/^:status: (\d+)/.exec(fields[0] ?? "")?.[1] ?? 0);
      if (final >= 200) [status, lines] = [final, fields.slice(1)];
    }
  }
  return {
    status,
    reason: "",
    lines,
    get: (name) => {
      const line = lines.find((each) => each.startsWith(`${name.toLowerCase()}:`));
      return line?.slice(name.length + 1).trim();
    },
    body,
  };
}
