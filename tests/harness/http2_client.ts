/** A client that sends and reads frames of HTTP/2 one by one, whether or not a client may send them. */
import { FrameClient } from "../../src/http2/testing/server_fixture.ts";
import { opening } from "../../src/http2/testing/frames.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** A client on a real connection. */
export type Http2Client = FrameClient<Deno.Conn>;

/** Connects over TLS, without the preface if `isSilent`. */
export async function http2Client(
  port: number,
  cert: string,
  isSilent = false,
): Promise<Http2Client> {
  const conn = await withTestDeadline(
    "a TLS connection",
    Deno.connectTls({
      hostname: "127.0.0.1",
      port,
      caCerts: [cert],
      alpnProtocols: ["h2"],
    }),
  );
  try {
    const { alpnProtocol } = await conn.handshake();
    if (alpnProtocol !== "h2") throw new Error(`not HTTP/2, but ${alpnProtocol}`);
    const client = new FrameClient<Deno.Conn>(conn);
    if (!isSilent) await client.send(opening());
    return client;
  } catch (error) {
    conn.close();
    throw error;
  }
}

/** Sends `bytes` again and again until the connection has ended, at most `rounds` times; whether it has ended. */
export async function flood(
  client: Http2Client,
  bytes: (round: number) => Uint8Array,
  rounds: number,
): Promise<boolean> {
  const reading = readToEnd(client);
  try {
    for (let round = 0; round < rounds; round++) await client.send(bytes(round));
    await withTestDeadline("the end of the connection", reading);
    return true;
  } catch (error) {
    return error instanceof Deno.errors.BrokenPipe ||
      error instanceof Deno.errors.ConnectionReset ||
      error instanceof Deno.errors.UnexpectedEof || error instanceof Deno.errors.ConnectionAborted;
  } finally {
    client.conn.close();
    await reading;
  }
}

/** The last frame that was read before the end. */
async function readToEnd(client: Http2Client): Promise<void> {
  while (await client.next() !== undefined);
}
