/** An upstream for tests of smuggling: Node's server, whose parser is independent of ours. */
import { nodeUpstream } from "./gateway_fixture.ts";

/** A request that hides in another one; no upstream may ever see it. */
export const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/** Starts one that records each request that it has read to its end, and what it could not read. */
export async function recording() {
  const seen: string[] = [];
  const refused: string[] = [];
  const up = await nodeUpstream((request, response) => {
    let body = "";
    request.on("data", (part) => body += part.toString("latin1"));
    request.on("end", () => {
      seen.push(`${request.method} ${request.url} ${body}`);
      response.end("done");
    });
    request.on("error", () => {});
  });
  up.server.on("clientError", (error: Error & { code?: string }, socket) => {
    // A request whose body is incomplete ends with its connection.
    const isEnd = error.code === "HPE_INVALID_EOF_STATE" || error.code === "ECONNRESET";
    if (!isEnd) refused.push(String(error.code));
    socket.destroy();
  });
  return { seen, refused, port: up.port, [Symbol.asyncDispose]: () => up[Symbol.asyncDispose]() };
}
