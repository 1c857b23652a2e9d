/**
 * Joins two connections byte for byte, after an upgrade of the protocol. Each direction ends separately; an
 * error in one direction resets both connections.
 */
import type { Conn } from "./conn.ts";

const CHUNK_BYTES = 16 * 1024;

/** Bytes that were moved, in each direction. */
export interface TunnelCount {
  fromClient: number;
  fromUpstream: number;
}

/**
 * Moves bytes until both directions have ended, and resolves also after an error, which resets both connections.
 * Otherwise the caller closes them. `count` is updated while bytes move.
 */
export async function tunnel(
  client: Conn,
  upstream: Conn,
  count: TunnelCount = { fromClient: 0, fromUpstream: 0 },
): Promise<TunnelCount> {
  const breakBoth = () => {
    client.reset();
    upstream.reset();
  };
  await Promise.all([
    flow(client, upstream, (bytes) => count.fromClient += bytes).catch(breakBoth),
    flow(upstream, client, (bytes) => count.fromUpstream += bytes).catch(breakBoth),
  ]);
  return count;
}

async function flow(from: Conn, to: Conn, moved: (bytes: number) => void): Promise<void> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const count = await from.read(buffer);
    if (count === null) return await to.closeWrite();
    for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
    moved(count);
  }
}
