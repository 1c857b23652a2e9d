/** Upstreams that fail at a certain point of an exchange, and one that is well, for the stories about retries. */
import {
  nodeUpstream,
  rawUpstream,
  readUntil,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";

/** Answers every request with `text`, and counts them. */
export async function well(text = "well"): Promise<RunningServer & { readonly bodies: string[] }> {
  const bodies: string[] = [];
  const up = await nodeUpstream((request, response) => {
    let body = "";
    request.on("data", (data) => body += data).on("error", () => {});
    request.on("end", () => {
      bodies.push(`${request.method} ${body}`);
      response.end(text);
    });
  });
  return Object.assign(up, { bodies });
}

/** Answers the first request of each connection, and closes the connection when a second one arrives. */
export function closingAtSecond(requests: string[]) {
  return rawUpstream(async (conn) => {
    requests.push(await readUntil(conn));
    await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const second = await readUntil(conn);
    if (second !== "") requests.push(second);
  });
}

/** Reads a whole head, adds it to `seen`, and closes without a byte of an answer. */
export function hangingUp(seen: string[]): RunningServer {
  return rawUpstream(async (conn) => {
    const text = await readUntil(conn);
    if (text !== "") seen.push(text.slice(0, text.indexOf(" ")));
  });
}
