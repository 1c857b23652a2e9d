/** Attacks over HTTP/2, and what comes of it. */
import { FLAG } from "../../src/http2/frames.ts";
import { BlockReader } from "../../src/http2/testing/frames.ts";
import type { Http2Client } from "../harness/http2_client.ts";
import type { Attack } from "./http2_attacks.ts";

/** The time between two of `drips`, in milliseconds. */
const DRIP_MS = 100;

/** Attacks, and resolves with what came of it. */
export async function attack(
  client: Http2Client,
  { sends, drips, gets }: Attack,
): Promise<readonly string[]> {
  // What it cannot send any more, the server has not needed.
  const sending = client.send(...sends).catch(() => {});
  const over = outcome(client, gets);
  let isOver = false;
  void over.finally(() => isOver = true);
  await sending;
  if (drips !== undefined) await drip(client, drips, () => isOver);
  return await over;
}

/** Sends the same again and again until the connection or the attack has ended. */
export async function drip(
  client: Http2Client,
  what: Uint8Array,
  isOver: () => boolean = () => false,
): Promise<void> {
  try {
    while (!isOver()) {
      await client.send(what);
      await new Promise((resolve) => setTimeout(resolve, DRIP_MS));
    }
  } catch {
    // The server has ended the connection.
  }
}

/** Reads until all of `gets` have come, in any order, or the connection has ended; everything that came. */
async function outcome(client: Http2Client, gets: readonly string[]): Promise<readonly string[]> {
  const blocks = new BlockReader();
  const missing = new Set(gets);
  const seen: string[] = [];
  const tell = (what: string) => {
    seen.push(what);
    missing.delete(what);
  };
  while (missing.size > 0) {
    const one = await client.next();
    if (one === undefined) {
      tell("closed");
      break;
    }
    const { type, flags, stream, payload } = one;
    if (type === "goAway") tell(`goAway ${payload[7]}`);
    else if (type === "resetStream") {
      tell(`resetStream ${payload[3]}`);
      tell(`reset ${stream}`);
    } else if (type === "headers") {
      const status = /^:status: (\d+)/.exec(blocks.lines(payload)?.[0] ?? "")?.[1];
      if (status !== undefined) tell(`status ${status}`);
    }
    const mayEnd = type === "headers" || type === "data";
    if (mayEnd && (flags & FLAG.endStream) !== 0) tell(`ended ${stream}`);
  }
  return seen;
}
