/** Makes clients of stories. */
import { Http1Client } from "./http1_client.ts";
import { Http2Client } from "./http2_client.ts";
import type { Protocol, StoryClient, WholeAnswer } from "./story_client.ts";

/** A client that speaks this protocol. */
export function storyClient(conn: Deno.TcpConn, protocol: Protocol): StoryClient {
  return protocol === "HTTP/2" ? new Http2Client(conn) : new Http1Client(conn);
}

/** One request on a connection of its own, to whatever listens on this port. */
export async function askOnce(
  port: number,
  protocol: Protocol,
  method: string,
  path: string,
  lines: readonly string[] = [],
): Promise<WholeAnswer> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const asked = await storyClient(conn, protocol).begin(method, path, lines);
  return await asked.answer();
}
