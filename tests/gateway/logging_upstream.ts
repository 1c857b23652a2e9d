/**
 * An upstream that testifies: a server of Node's that prints `METHOD id` for each request it begins to
 * work on, before it can answer. Run with its name and port as arguments.
 */
import { createServer } from "node:http";

const [name, port] = Deno.args as [string, string];
const encoder = new TextEncoder();
/** Long enough that every client has a request here at any time. */
const WORK_MS = 50;

const server = createServer((request, response) => {
  const id = request.headers["x-id"];
  if (id === undefined) return response.end("check");
  Deno.stdout.writeSync(encoder.encode(`${request.method} ${id}\n`));
  setTimeout(() => response.end(name), WORK_MS);
});
server.listen(Number(port), "127.0.0.1", () => Deno.stdout.writeSync(encoder.encode("ready\n")));
