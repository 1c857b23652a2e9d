/**
 * An upstream that logs: a server of Node that prints `METHOD id` for each request that it begins to
 * answer, before it answers. Run with its name and port as arguments.
 */
import { createServer } from "node:http";

const [name, port] = Deno.args as [string, string];
const encoder = new TextEncoder();
/** Long enough that every client has a request in progress at any time. */
const WORK_MS = 50;

const server = createServer((request, response) => {
  const id = request.headers["x-id"];
  if (id === undefined) return response.end("check");
  Deno.stdout.writeSync(encoder.encode(`${request.method} ${id}\n`));
  setTimeout(() => response.end(name), WORK_MS);
});
server.listen(Number(port), "127.0.0.1", () => Deno.stdout.writeSync(encoder.encode("ready\n")));
