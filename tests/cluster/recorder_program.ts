/**
 * A server that takes writes: for each line it notes the line with the time in its file and answers `ok LINE`.
 * Its arguments are the port and the file.
 */
import { linesOf } from "../harness/child.ts";

const [port, file] = Deno.args;
const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(port) });
console.log("listening");

async function serve(conn: Deno.TcpConn): Promise<void> {
  for await (const line of linesOf(conn.readable)) {
    Deno.writeTextFileSync(file!, `${line} ${Date.now()}\n`, { append: true });
    await conn.write(new TextEncoder().encode(`ok ${line}\n`));
  }
}

for await (const conn of listener) serve(conn).catch(() => {});
