/**
 * A server that takes writes while it is the primary, as a file says that triggers write: `NAME FENCE`. It
 * appends each line to its own file and answers `ok LINE NAME`. A write is acknowledged only if the server is still the
 * primary after it was appended, so that whoever makes another one the primary first, and then copies the file, loses
 * nothing. Its arguments are its name, the port, its file and the file with the primary.
 */
import { linesOf } from "../harness/child.ts";
import { acceptedBy } from "../harness/accepted.ts";

const [name, port, file, primary] = Deno.args as [string, string, string, string];
const listener = Deno.listen({ hostname: "127.0.0.1", port: Number(port) });
console.log("listening");

function isPrimary(): boolean {
  try {
    return Deno.readTextFileSync(primary).split(" ")[0] === name;
  } catch {
    return false;
  }
}

async function serve(conn: Deno.TcpConn): Promise<void> {
  for await (const line of linesOf(conn.readable)) {
    Deno.writeTextFileSync(file, `${line}\n`, { append: true });
    if (!isPrimary()) return conn.close();
    await conn.write(new TextEncoder().encode(`ok ${line} ${name}\n`));
  }
}

for await (const conn of acceptedBy(listener)) serve(conn).catch(() => {});
