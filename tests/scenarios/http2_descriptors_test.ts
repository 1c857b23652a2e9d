/** Few descriptors, and many clients of HTTP/2 with several requests at one time: nothing is lost, and nobody else blamed. */
import { assert, assertEquals } from "@std/assert";
import { FLAG, readUint31 } from "../../src/http2/frames.ts";
import { BlockReader, headers, joined } from "../../src/http2/testing/frames.ts";
import type { Http2Client } from "../harness/http2_client.ts";
import { type Http2Way, onHttp2Ways } from "../harness/http2_ways.ts";
import { withProgress, withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const CLIENTS = 200;
/** Requests of each client at one time. */
const TOGETHER = 10;

const TRIES_MAX = 100;

/** What became of the requests on one connection. */
interface Outcome {
  readonly answered: string[];
  /** Those which the server has not begun: the client may ask again. */
  readonly notBegun: number;
  /** Those which the server may have begun, and that it has not answered. */
  readonly lost: number;
}

/** Sends so many requests at one time, and reads until all are answered or the connection has ended. */
async function askTogether(client: Http2Client, count: number): Promise<Outcome> {
  const ids = Array.from({ length: count }, (_, at) => 1 + 2 * at);
  const open = new Set(ids);
  const blocks = new BlockReader();
  const answered: string[] = [];
  let last = Infinity;
  // The server may have closed the connection already.
  await client.send(joined(ids.map((id) => headers(id)))).catch(() => last = 0);
  while ([...open].some((id) => id <= last)) {
    const one = await client.next();
    if (one === undefined) break;
    const { type, flags, stream, payload } = one;
    if (type === "goAway") last = readUint31(payload, 0);
    else if (type === "headers") answered.push(blocks.lines(payload)![0]!);
    else if (type === "resetStream") answered.push(`reset ${payload[3]}`);
    const isEnd = type === "resetStream" || (flags & FLAG.endStream) !== 0;
    if (isEnd && type !== "goAway") open.delete(stream);
  }
  // A server that has not even said hello has not begun anything.
  if (!client.hasHeard) last = 0;
  const notBegun = [...open].filter((id) => id > last).length;
  return { answered, notBegun, lost: open.size - notBegun };
}

/**
 * Connects. A handshake, or a connection of which nothing has come yet, may be ended for others when descriptors are
 * short: then nothing was accepted yet.
 */
async function connected(way: Http2Way, proxy: WebProxy): Promise<Http2Client> {
  for (let tries = 1;; tries++) {
    try {
      return await way.connect(proxy);
    } catch (error) {
      const isEnd = error instanceof Deno.errors.UnexpectedEof ||
        error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe;
      if (!isEnd || tries === TRIES_MAX) throw error;
    }
  }
}

/** Asks until all requests were answered, as a client does: what was not begun is asked for again. */
async function askAll(way: Http2Way, proxy: WebProxy, statuses: Map<string, number>) {
  let lost = 0;
  for (let left = TOGETHER; left > 0;) {
    const client = await connected(way, proxy);
    const outcome = await askTogether(client, left);
    for (const each of outcome.answered) statuses.set(each, (statuses.get(each) ?? 0) + 1);
    lost += outcome.lost;
    left = outcome.notBegun;
    // It stays until the server needs its place.
    while (outcome.lost === 0 && (await client.next()) !== undefined);
    client.conn.close();
  }
  return lost;
}

for (const limit of [96, 256]) {
  onHttp2Ways(`${limit} descriptors and ${CLIENTS} clients that stay`, async (way) => {
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    await using proxy = await startWebProxy({
      primary,
      backups: [backup],
      // Many processes share the cores of this test, so that an answer may take long.
      flags: { ...way.flags, "check-timeout": "20s", "keep-alive-timeout": "2s", hold: "1m" },
      under: ["prlimit", `--nofile=${limit}`],
    });
    const statuses = new Map<string, number>();
    const asking = Array.from({ length: CLIENTS }, () => askAll(way, proxy, statuses));
    const answers = () => [...statuses.values()].reduce((sum, count) => sum + count, 0);
    const all = Promise.all(asking);
    const lost = await withProgress("the answers", all, answers, proxy.lastLines);
    assertEquals(lost.filter((each) => each > 0), []);
    // On a busy machine a request may wait so long for a place that it is refused, which its client is told.
    const others = [...statuses.keys()].filter((each) => !/ (200|503)$/.test(each));
    assertEquals(others, []);
    assert(statuses.get(":status: 200")! > CLIENTS * TOGETHER / 2, [...statuses].join(" "));
    for (const type of ["upstream.down", "sessions.cut", "session.failed"] as const) {
      assertEquals(proxy.events(type), [], type);
    }
    assertEquals(proxy.events("proxy.faulted"), []);
    assertEquals(proxy.events("promotion.finished").map(({ move }) => move), ["start"]);
    const later = await way.connect(proxy);
    await later.get(1);
    const { body } = await withTestDeadline("an answer", later.response(), proxy.lastLines);
    assertEquals(body, "primary");
    later.conn.close();
    assertEquals(await proxy.stop(), 0);
  }, ["prlimit"]);
}
