/**
 * An upstream that reads bodies as fast as it can and answers each with a word. It takes only what the proxies of the
 * benchmark send: a length, or chunks of zeros. Its argument is its port.
 */
const ANSWER = new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const LAST_CHUNK = "0\r\n\r\n";

async function serve(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(1024 * 1024);
  const text = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);
  for (;;) {
    let head = "";
    while (!head.includes("\r\n\r\n")) {
      const count = await conn.read(buffer);
      if (count === null) return conn.close();
      head += text(buffer.subarray(0, count));
    }
    const end = head.indexOf("\r\n\r\n") + 4;
    const length = /\r\ncontent-length: (\d+)\r/i.exec(head)?.[1];
    const isChunked = /\r\ntransfer-encoding: chunked\r/i.test(head);
    let left = Number(length ?? 0) - (head.length - end);
    let tail = head.slice(-LAST_CHUNK.length);
    while (isChunked ? tail !== LAST_CHUNK : left > 0) {
      const count = await conn.read(buffer);
      if (count === null) return conn.close();
      left -= count;
      tail = (tail + text(buffer.subarray(Math.max(0, count - LAST_CHUNK.length), count)))
        .slice(-LAST_CHUNK.length);
    }
    await conn.write(ANSWER);
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
for await (const conn of listener) serve(conn).catch(() => {});
