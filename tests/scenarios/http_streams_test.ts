/** HTTP mode with long exchanges: event streams, WebSockets, large bodies. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { BULK_DEADLINE_MS, withTestDeadline } from "../harness/test_deadline.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import type { WebConnection } from "../harness/web_client.ts";
import { WebUpstream } from "../harness/web_upstream.ts";
import { assertSlim, peakMemory } from "../harness/peak_memory.ts";

const LARGE_BYTES = 300 * 1024 * 1024;

scenario(
  "an event stream arrives event by event, and ends when its upstream is killed",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    await using proxy = await startWebProxy({ primary, backups: [backup], flags: relay });
    const first = await eventStream(proxy);
    assertEquals(await nextEvent(first), "data: primary");
    for (const event of ["one", "two"]) {
      await primary.ask(`/push?event=${event}`);
      assertEquals(await nextEvent(first), `data: ${event}`);
    }

    await primary.kill();
    const end = await withTestDeadline("the stream's end", nextEvent(first).catch(() => "cut"));
    // Not the regular end of a body, so that the client knows that it is incomplete.
    assertEquals(end, "cut");
    first.close();

    const second = await eventStream(proxy);
    assertEquals(await nextEvent(second), "data: backup");
    const moved = await proxy.event("promotion.finished", { move: "failover" });
    await primary.restart();
    await proxy.event("promotion.finished", { move: "failback" }, moved);
    await backup.ask("/push?event=still");
    assertEquals(await nextEvent(second), "data: still");
    second.close();
  },
);

async function eventStream(proxy: WebProxy): Promise<WebConnection> {
  const connection = await proxy.open();
  await connection.send({ target: "/events" });
  const { headers } = await connection.head();
  assertEquals(headers.get("content-type"), "text/event-stream");
  return connection;
}

async function nextEvent(connection: WebConnection): Promise<string | undefined> {
  const chunk = await withTestDeadline("an event", connection.chunk());
  return chunk && new TextDecoder().decode(chunk).trim();
}

/** A WebSocket and what it receives, one message or end after the other. */
class TestWebSocket implements Disposable {
  readonly socket: WebSocket;
  readonly #said: string[] = [];
  #news = Promise.withResolvers<void>();

  constructor(proxy: WebProxy) {
    this.socket = new WebSocket(`ws://${proxy.address}/socket`);
    this.socket.onmessage = ({ data }) => this.#add(data);
    this.socket.onclose = ({ code }) => this.#add(`closed with ${code}`);
  }

  #add(text: string): void {
    this.#said.push(text);
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  async next(): Promise<string> {
    while (this.#said.length === 0) await withTestDeadline("a message", this.#news.promise);
    return this.#said.shift()!;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

scenario(
  "a WebSocket ends with its upstream, opens again on the backup, and stays there at failback",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using backup = await WebUpstream.start("backup");
    await using proxy = await startWebProxy({ primary, backups: [backup], flags: relay });
    using first = new TestWebSocket(proxy);
    assertEquals(await first.next(), "primary");
    first.socket.send("hello");
    assertEquals(await first.next(), "hello");

    await primary.kill();
    assertMatch(await first.next(), /^closed/);
    using second = new TestWebSocket(proxy);
    assertEquals(await second.next(), "backup");
    const moved = await proxy.event("promotion.finished", { move: "failover" });
    await primary.restart();
    await proxy.event("promotion.finished", { move: "failback" }, moved);
    second.socket.send("still there");
    assertEquals(await second.next(), "still there");
    second.socket.close(4321, "enough");
    assertEquals(await second.next(), "closed with 4321");
  },
);

for (const policy of ["cut", "keep"]) {
  scenario(
    `--sessions-on-down ${policy} applies to the WebSockets of an upstream that fails its checks`,
    async (relay) => {
      await using primary = await WebUpstream.start("primary");
      await using backup = await WebUpstream.start("backup");
      const flags = { "sessions-on-down": policy, "grace": "100ms", ...relay };
      await using proxy = await startWebProxy({ primary, backups: [backup], flags });
      using talk = new TestWebSocket(proxy);
      assertEquals(await talk.next(), "primary");
      await primary.behave("failing");
      const moved = await proxy.event("promotion.finished", { move: "failover" });
      if (policy === "cut") return assertMatch(await talk.next(), /^closed/);
      await primary.behave("well");
      await proxy.event("promotion.finished", { move: "failback" }, moved);
      talk.socket.send("hello");
      assertEquals(await talk.next(), "hello");
    },
  );
}

scenario(
  "300 MB down arrive whole although the client reads nothing at first, in constant memory",
  async (relay) => {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({ primary, flags: relay });
    const before = await peakMemory(proxy);
    const connection = await proxy.open();
    await connection.send({ target: `/download?bytes=${LARGE_BYTES}` });
    assertEquals((await connection.head()).headers.get("content-length"), String(LARGE_BYTES));
    // Until no byte moves any more: the rest is still in the upstream, not in the proxy.
    let sent = -1;
    for (let now = 0; now !== sent;) {
      sent = now;
      now = Number(await primary.ask("/downloaded"));
    }
    assert(sent < LARGE_BYTES / 2, "the upstream was not slowed down");
    const sum = await moved("the download", connection.conn.receiveBulk(LARGE_BYTES));
    assertEquals(sum, bulkSum(LARGE_BYTES));
    connection.close();
    await assertSlim(proxy, before);
  },
);

scenario("300 MB up arrive whole in constant memory", async (relay) => {
  await using primary = await WebUpstream.start("primary");
  await using proxy = await startWebProxy({ primary, flags: { "max-body": "1GB", ...relay } });
  const before = await peakMemory(proxy);
  const connection = await proxy.open();
  const lines = [`Content-Length: ${LARGE_BYTES}`];
  await connection.send({ method: "PUT", target: "/upload", lines });
  const sum = await moved("the upload", connection.conn.sendBulk(LARGE_BYTES));
  assertEquals((await connection.reply()).text, `${LARGE_BYTES} ${sum}`);
  connection.close();
  await assertSlim(proxy, before);
});

function moved(what: string, checksum: Promise<string>): Promise<string> {
  return withTestDeadline(what, checksum, undefined, BULK_DEADLINE_MS);
}

/** The checksum of the bytes of `/download`. */
function bulkSum(bytes: number): string {
  const block = new Uint8Array(64 * 1024).map((_, i) => (i * 31 + (i >> 8)) & 0xff);
  const hash = createHash("sha1");
  for (let at = 0; at < bytes; at += block.length) {
    hash.update(block.subarray(0, Math.min(block.length, bytes - at)));
  }
  return hash.digest("hex");
}
