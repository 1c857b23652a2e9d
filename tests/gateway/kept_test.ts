/** Connections to upstreams that are kept for the next request, and those that must not be. */
import { assert, assertEquals } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { rawUpstream, readUntil, type RunningServer, sendText } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import type { StoryClient } from "./story_client.ts";

/**
 * Answers requests with `answers`, in order over all connections; `heard` has the number of the connection
 * of each request, and `end` is called with the number of each connection that has ended.
 */
function inTurn(
  answers: readonly string[],
  heard: number[],
  end: (connection: number) => void = () => {},
): RunningServer {
  let connections = 0;
  return rawUpstream(async (conn) => {
    const number = ++connections;
    try {
      while ((await readUntil(conn)) !== "") {
        heard.push(number);
        await sendText(conn, answers[heard.length - 1]!);
      }
    } finally {
      end(number);
    }
  });
}

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

for (
  const [what, odd, status] of [
    ["a 204 with a length", "HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n", 204],
    ["a 204 in chunks", "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n", 204],
    ["a 304 with a length", "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", 304],
    ["a 204 with a body", `HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nevil!`, 204],
    ["an answer and one more", `${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`, 200],
  ] as const
) {
  onBothProtocols(`after ${what} the connection carries no other request`, async ({ start }) => {
    const heard: number[] = [];
    await using up = inTurn([odd, OK, OK], heard);
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const first = await fixture.ask("GET", "/");
    const second = await fixture.ask("GET", "/");
    const third = await fixture.ask("GET", "/");
    assertEquals([first, second, third].map((answer) => answer.status), [status, 200, 200]);
    assertEquals([second.body, third.body], ["ok", "ok"]);
    assertEquals(heard, [1, 2, 2]);
    assertEquals(fixture.doubts, []);
  });
}

onBothProtocols(
  "bytes that arrive before a request are not taken for its answer",
  async ({ start }) => {
    const asked = Promise.withResolvers<void>();
    const evil = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    let connections = 0;
    await using up = rawUpstream(async (conn) => {
      const isFirst = ++connections === 1;
      await readUntil(conn);
      await sendText(conn, OK);
      if (!isFirst) return;
      await asked.promise;
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
      evil.resolve();
      assertEquals(await readUntil(conn), "");
      ended.resolve();
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).body, "ok");
    asked.resolve();
    await withTestDeadline("bytes without a request", evil.promise);
    await withTestDeadline("the connection to be given up", ended.promise);
    assertEquals([(await fixture.ask("POST", "/")).body, connections], ["ok", 2]);
  },
);

onBothProtocols(
  "an upstream's Keep-Alive timeout is respected: the proxy closes first",
  async ({ start }) => {
    const heard: number[] = [];
    const ended: number[] = [];
    const first = Promise.withResolvers<void>();
    const announcing =
      "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=9\r\nContent-Length: 2\r\n\r\nok";
    await using up = inTurn(Array(4).fill(announcing), heard, (connection) => {
      ended.push(connection);
      first.resolve();
    });
    const clock = new ManualClock();
    await using fixture = await start([up.port], { clock });
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    await clock.advance(3_000);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    assertEquals([heard, ended], [[1, 1], []]);
    await clock.advance(4_900);
    await withTestDeadline("the connection to be closed", first.promise);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    assertEquals([heard, ended], [[1, 1, 2], [1]]);
  },
);

/** Sends POSTs one after another on one connection; resolves with their statuses. */
async function posts(client: StoryClient, ids: readonly string[]): Promise<number[]> {
  const statuses: number[] = [];
  for (const id of ids) {
    const asked = await client.begin("POST", "/", [`X-Id: ${id}`, "Content-Length: 0"]);
    statuses.push((await withTestDeadline(`an answer to ${id}`, asked.answer())).status);
  }
  return statuses;
}

const POSTS = 300;
for (
  const [what, keptMs, clients] of [
    ["at once", 0, 1],
    ["at once, many clients", 0, 8],
    ["within the pace of its clients", 3, 8],
  ] as const
) {
  onBothProtocols(`no POST is sent twice to an upstream that closes ${what}`, async ({ start }) => {
    const seen = new Map<string, number>();
    let look = () => {};
    const named = (count: number) =>
      new Promise<void>((resolve) => {
        look = () => seen.size >= count && resolve();
        look();
      });
    const port = Promise.withResolvers<number>();
    const program = new URL("./closing_program.ts", import.meta.url).pathname;
    await using _up = new Child(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--allow-net", program, String(keptMs)],
      onOut: (line) => {
        const [word, value] = line.split(" ");
        if (word === "port") port.resolve(Number(value));
        else seen.set(value!, (seen.get(value!) ?? 0) + 1);
        look();
      },
    });
    await using fixture = await start([
      await withTestDeadline("the upstream to listen", port.promise),
    ]);
    await fixture.open(0);
    const all = await Promise.all(Array.from({ length: clients }, async (_, client) => {
      const ids = Array.from({ length: Math.ceil(POSTS / clients) }, (_, i) => `${client}.${i}`);
      return await posts(await fixture.client(), ids);
    }));
    const statuses = all.flat();
    const lost = statuses.filter((status) => status !== 200).length;
    // Each client may lose one request on a connection that has just ended, before the pool knows that the
    // upstream does this; on a busy machine some more.
    const most = Math.max(2 * clients, statuses.length / 10);
    assert(lost <= most, `${lost} of ${statuses.length} POSTs were lost`);
    await withTestDeadline("the upstream to print all of them", named(statuses.length - lost));
    assertEquals([...seen].filter(([, times]) => times > 1), []);
  });
}
