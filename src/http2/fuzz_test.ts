/**
 * Any frames of a client, valid or not: the answers do not depend on how the bytes are divided; a client gets what
 * the rules allow and no more; nothing but a ConnectionError is ever thrown, and nothing is left over. Seeded, so
 * that a failure can be repeated.
 */
import { assert, assertEquals } from "@std/assert";
import { random } from "../http1/testing/mutations.ts";
import { onConns } from "../net/testing/fake_conn.ts";
import { mutatedFrames, type Next } from "./testing/mutations.ts";
import { ProtocolFixture } from "./testing/protocol_fixture.ts";
import { http2Fixture } from "./testing/server_fixture.ts";
import type { StreamExchange } from "./exchange.ts";

const ROUNDS = 1_000;

function divided(bytes: Uint8Array, next: Next): Uint8Array[] {
  const parts: Uint8Array[] = [];
  const most = 1 + next(next(2) === 0 ? 3 : 60);
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + next(most);
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return parts;
}

/** Feeds the parts until the connection must end; what it answered. */
function answers(parts: readonly Uint8Array[]): { lines: string[]; fixture: ProtocolFixture } {
  const fixture = new ProtocolFixture();
  const lines: string[] = [];
  for (const part of parts) {
    lines.push(...fixture.feed(part));
    if (lines.at(-1)?.startsWith("ends with") === true) break;
  }
  return { lines, fixture };
}

Deno.test("any frames have the same answers, however their bytes are divided", () => {
  const next = random(3);
  const seen = { served: 0, reset: 0, ended: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutatedFrames(next);
    const whole = answers([bytes]);
    const parts = answers(divided(bytes, next));
    const context = `round ${round}: ${[...bytes].join(" ")}`;
    assertEquals(parts.lines, whole.lines, context);
    assertEquals(parts.fixture.broken, whole.fixture.broken, context);
    const { protocol, requests } = whole.fixture;
    assert(protocol.streams.length <= 3, context);
    assert(protocol.receiveWindow >= 0 && protocol.receiveWindow <= 1024 * 1024, context);
    const ids = requests.map(({ id }) => id);
    assertEquals(ids, [...new Set(ids)].sort((a, b) => a - b), context);
    if (requests.length > 0) seen.served++;
    if (whole.lines.some((line) => line.startsWith("resetStream"))) seen.reset++;
    if (whole.lines.at(-1)?.startsWith("ends with") === true) seen.ended++;
  }
  // A fuzz test that never gets a result of some kind proves nothing about it.
  for (const count of Object.values(seen)) assert(count > 100, JSON.stringify(seen));
});

/** Sends the body back. */
async function echo(exchange: StreamExchange): Promise<void> {
  exchange.respond(200, "OK");
  await exchange.send(exchange.body);
}

onConns("a server survives any frames, and keeps nothing of them", async (pair) => {
  const next = random(4);
  const { server, connect, errors, pass } = http2Fixture(echo, pair);
  for (let round = 0; round < 300; round++) {
    const bytes = mutatedFrames(next);
    const { client, done } = await connect();
    const sending = client.send(bytes).catch(() => {});
    if (next(2) === 0) await sending;
    client.conn.close();
    await sending;
    await pass(1_500);
    await done;
    assertEquals([errors, server.connections], [[], 0], `round ${round}: ${[...bytes].join(" ")}`);
  }
});
