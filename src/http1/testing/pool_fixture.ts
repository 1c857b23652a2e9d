/** A pool with a manual clock, whose upstreams send each byte when the test says so. */
import { ManualClock } from "../../base/clock.ts";
import type { BodySource } from "../body.ts";
import type { ExchangeOptions, Reply } from "../reply.ts";
import type { UpstreamConn } from "../upstream_conn.ts";
import type { FakeConn, MakePair } from "../../net/testing/fake_conn.ts";
import { Deadlines } from "../../net/deadlines.ts";
import { Pool, type PoolOptions } from "../pool.ts";

export function poolFixture(pair: MakePair, options: Partial<PoolOptions> = {}) {
  const clock = new ManualClock();
  const upstreams: FakeConn[] = [];
  const ends: FakeConn[] = [];
  const pool = new Pool({
    deadlines: new Deadlines(clock),
    dial: () => {
      const [upstream, end] = pair();
      upstreams.push(upstream);
      ends.push(end);
      return Promise.resolve(end);
    },
    ...options,
  });
  return { clock, pool, upstreams, ends };
}

export const WAIT: ExchangeOptions = { responseMs: 5_000 };

export function get(
  connection: UpstreamConn,
  method = "GET",
  options: ExchangeOptions = WAIT,
  body: BodySource | Uint8Array | null = null,
): Promise<Reply> {
  connection.request(method, "/a?b").line("Host", "up");
  return connection.exchange(body, options);
}

export async function textOf(body: BodySource): Promise<string> {
  let text = "";
  for (let part = await body.read(); part; part = await body.read()) {
    text += new TextDecoder().decode(part);
  }
  return text;
}

/** Makes an idle connection, which has completed one exchange; returns its upstream's end. */
export async function idleConnection(
  { pool, upstreams }: ReturnType<typeof poolFixture>,
  answer: string,
  method = "GET",
): Promise<FakeConn> {
  const connection = pool.take() ?? await pool.connect();
  const upstream = upstreams.at(-1)!;
  const reply = get(connection, method);
  await upstream.readUntil("\r\n\r\n");
  await upstream.sendText(answer);
  await textOf((await reply).body);
  connection.release();
  return upstream;
}
