/** Clients that stop in the middle: their uploads and downloads end at their time-outs, and nothing else does. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { type GatewayFixture, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import type { Protocol, StoryClient } from "./story_client.ts";

const SECOND_MS = 1_000;

/** A client for a request beside another one: over HTTP/2 the same connection has both. */
async function beside(
  fixture: GatewayFixture,
  client: StoryClient,
  protocol: Protocol,
): Promise<StoryClient> {
  return protocol === "HTTP/2" ? client : await fixture.client();
}

/** Lets time pass, while sockets report what they have, until `promise` has settled. */
async function passUntil<T>(clock: ManualClock, what: string, promise: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => void (isOver = true);
  promise.then(over, over);
  const passing = async () => {
    while (!isOver) await pass(clock, SECOND_MS);
    return await promise;
  };
  return await withTestDeadline(what, passing());
}

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= SECOND_MS) {
    await clock.advance(SECOND_MS);
    await new Promise((resolve) => setTimeout(resolve));
  }
}

onBothProtocols(
  "an upload that stops is answered 408, its upstream is left, and others go on",
  async ({ start, protocol }) => {
    const [begun, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using up = rawUpstream(async (conn) => {
      const head = await readUntil(conn);
      if (head.startsWith("GET")) {
        return await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      }
      const text = await readUntil(conn, "half", head);
      begun.resolve();
      await readUntil(conn, "\0 never \0", text).catch(() => {});
      left.resolve();
    });
    const clock = new ManualClock();
    await using fixture = await start([up.port], { clock });
    await fixture.open(0);
    const client = await fixture.client();
    const put = await client.begin("PUT", "/", ["Content-Length: 8"], { hasBody: true });
    await put.send("half");
    await withTestDeadline("half of the upload", begun.promise);
    await pass(clock, 29_000);
    const other = await beside(fixture, client, protocol);
    assertEquals((await (await other.begin("GET", "/")).answer()).body, "ok");
    assertEquals(fixture.gateway.counters().active, 1);
    const { status, end } = await passUntil(clock, "an answer", put.answer());
    assertEquals([status, end], [408, "whole"]);
    await withTestDeadline("the upstream to be left", left.promise);
    assertEquals(fixture.doubts, []);
    if (protocol === "HTTP/2") {
      assertEquals((await (await client.begin("GET", "/")).answer()).body, "ok");
    } else assertEquals(await withTestDeadline("the end", client.readToEnd()), "ended");
  },
);

onBothProtocols(
  "a response that its client does not read ends at its time-out, frees its upstream, and others go on",
  async ({ start, protocol }) => {
    const left = Promise.withResolvers<void>();
    await using up = rawUpstream(async (conn) => {
      if (/^GET \/small/.test(await readUntil(conn))) {
        return await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      }
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
      const block = new Uint8Array(1 << 20);
      try {
        for (;;) await conn.write(block);
      } catch {
        left.resolve();
      }
    });
    const clock = new ManualClock();
    await using fixture = await start([up.port], { clock });
    await fixture.open(0);
    const client = await fixture.client();
    const slow = await client.begin("GET", "/large");
    assertEquals((await slow.head()).status, 200);
    const other = await beside(fixture, client, protocol);
    assertEquals((await (await other.begin("GET", "/small")).answer()).body, "ok");
    await passUntil(clock, "the upstream to be left", left.promise);
    const { end } = await withTestDeadline("the end", slow.rest());
    assert(end !== "whole");
    assertEquals(fixture.doubts, []);
    if (protocol === "HTTP/2") {
      assertEquals((await (await client.begin("GET", "/small")).answer()).body, "ok");
    }
  },
);
