/**
 * An upstream that records when it is checked: `arrivals_program.ts COUNT SECONDS` listens on COUNT ports of 127.0.0.1 and
 * prints them as one line of JSON, then one line `PORT MILLISECONDS` for each connection: the time since the epoch
 * at which it was accepted, in fractions of milliseconds. It answers what it is asked as an HTTP server does, and
 * ends by itself after SECONDS.
 */
const ANSWER = new TextEncoder().encode(
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK",
);

const listeners = Array.from(
  { length: Number(Deno.args[0]) },
  () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
);
console.log(JSON.stringify(listeners.map(({ addr }) => addr.port)));
for (const listener of listeners) void accept(listener);
setTimeout(() => Deno.exit(0), 1_000 * Number(Deno.args[1]));

async function accept(listener: Deno.TcpListener): Promise<void> {
  for await (const conn of listener) {
    console.log(`${listener.addr.port} ${performance.timeOrigin + performance.now()}`);
    answer(conn).catch(() => {}); // a check that left: nobody is there to be told
  }
}

async function answer(conn: Deno.Conn): Promise<void> {
  using socket = conn;
  if (await socket.read(new Uint8Array(4_096)) !== null) await socket.write(ANSWER);
}
