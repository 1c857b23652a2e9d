/** Answers that arrive before their request has ended, and responses that stop: each side is notified. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  close,
  nodeUpstream,
  rawUpstream,
  readAllText,
  readUntil,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import type { Protocol, StoryClient, WholeAnswer } from "./story_client.ts";

onBothProtocols(
  "an upload of unknown length over the limit always gets its 413, with Expect or without, however much is sent",
  async ({ start, protocol }) => {
    await using up = await nodeUpstream((request, response) => {
      request.resume().on("error", () => {}).on("end", () => response.end("well"));
    });
    await using fixture = await start([up.port], { bodyMax: 10_000 });
    await fixture.open(0);
    for (const lines of [[], ["Expect: 100-continue"]]) {
      for (let i = 0; i < 5; i++) {
        const client = await fixture.client();
        const put = await client.begin("PUT", "/", lines, { hasBody: true });
        if (lines.length > 0) {
          assertEquals((await withTestDeadline("100", put.head())).status, 100);
        }
        // More than the buffers hold, so that some of it arrives after the answer.
        const part = new Uint8Array(65_536).fill(120);
        for (let n = 0; n < 30; n++) await put.send(part);
        const answer = await withTestDeadline("an answer", put.answer());
        assertEquals(answer.status, 413);
        await goesOn(client, answer, protocol);
      }
    }
  },
);

/** Over HTTP/1.1 the connection of an unread upload ends, over HTTP/2 only its stream. */
async function goesOn(client: StoryClient, answer: WholeAnswer, protocol: Protocol) {
  assertEquals(answer.end, "whole");
  if (protocol === "HTTP/1.1") {
    assertEquals(answer.get("connection"), "close");
    assertEquals(await withTestDeadline("the end", client.readToEnd()), "ended");
  } else {
    const next = await client.begin("GET", "/__failover/health");
    assertEquals((await withTestDeadline("the next answer", next.answer())).status, 200);
  }
  close(client.conn);
}

onBothProtocols(
  "an upstream's answer during an upload reaches a client that continues to send",
  async ({ start, protocol }) => {
    await using up = rawUpstream(async (conn) => {
      await readUntil(conn, "xxxx");
      await sendText(conn, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
      await readAllText(conn);
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    for (const lines of [["Content-Length: 4000000"], []]) {
      const client = await fixture.client();
      const put = await client.begin("PUT", "/", lines, { hasBody: true });
      const part = new Uint8Array(65_536).fill(120);
      for (let n = 0; n < 40; n++) await put.send(part);
      const answer = await withTestDeadline("an answer", put.answer());
      assertEquals([answer.status, answer.body], [403, "no"]);
      await goesOn(client, answer, protocol);
    }
    assertEquals(fixture.doubts, []);
  },
);

onBothProtocols(
  "a response that stops is cut at its time-out; an event stream may be silent",
  async ({ start, cut }) => {
    const speak = Promise.withResolvers<void>();
    await using up = rawUpstream(async (conn) => {
      const type = /events/.test(await readUntil(conn))
        ? "text/event-stream; charset=utf-8"
        : "text/plain";
      await sendText(
        conn,
        `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: 20\r\n\r\npart`,
      );
      await speak.promise;
      await sendText(conn, " and the rest ..");
    });
    const clock = new ManualClock();
    await using fixture = await start([up.port], { clock, responseIdleMs: 60_000 });
    await fixture.open(0);
    const stopped = await (await fixture.client()).begin("GET", "/stops");
    const events = await (await fixture.client()).begin("GET", "/events");
    await withTestDeadline(
      "the first part",
      Promise.all([stopped.readUntil("part"), events.readUntil("part")]),
    );
    await clock.advance(59_000);
    assertEquals(fixture.gateway.counters().lost, 0);
    await clock.advance(2_000);
    assertEquals((await withTestDeadline("the end", stopped.rest())).end, cut);
    assertEquals([fixture.gateway.counters().lost, fixture.gateway.counters().active], [1, 1]);
    assertMatch(JSON.stringify(fixture.events), /no response in time/);
    speak.resolve();
    const { body, end } = await withTestDeadline("the rest", events.rest());
    assertEquals([body, end], [" and the rest ..", "whole"]);
  },
);

onBothProtocols(
  "a client that leaves with a FIN before its answer soon frees its upstream",
  async ({ start }) => {
    const [asked, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using up = rawUpstream(async (conn) => {
      try {
        await readUntil(conn);
        asked.resolve();
        await readAllText(conn);
      } finally {
        left.resolve();
      }
    });
    const clock = new ManualClock();
    await using fixture = await start([up.port], { clock });
    await fixture.open(0);
    const client = await fixture.client();
    await client.begin("GET", "/");
    await withTestDeadline("the request", asked.promise);
    // Not by `close`: while another thread starts a program, that has a copy of the socket, and no FIN is sent.
    await client.conn.closeWrite();
    // The FIN may not have been seen yet; the clock advances only as far as needed.
    const gone = async () => {
      for (let ms = 0; fixture.gateway.counters().active > 0; ms += 250) {
        assert(ms <= 1_250, "the upstream is still busy");
        for (let turns = 0; turns < 20; turns++) {
          await new Promise((resolve) => setTimeout(resolve));
        }
        await clock.advance(ms === 0 ? 0 : 250);
      }
    };
    await withTestDeadline("the exchange to end", gone());
    await withTestDeadline("the upstream to be left", left.promise);
    assertEquals(fixture.gateway.counters().abandoned, 1);
  },
);

onBothProtocols(
  "a client that leaves in the middle of its upload frees its upstream at once",
  async ({ start }) => {
    const [begun, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using up = rawUpstream(async (conn) => {
      try {
        await readUntil(conn, "half");
        begun.resolve();
        await readAllText(conn);
      } finally {
        left.resolve();
      }
    });
    await using fixture = await start([up.port], { clock: new ManualClock() });
    await fixture.open(0);
    const client = await fixture.client();
    const put = await client.begin("PUT", "/", ["Content-Length: 8"], { hasBody: true });
    await put.send("half");
    await withTestDeadline("the first half", begun.promise);
    await client.conn.closeWrite();
    await withTestDeadline("the upstream to be left", left.promise);
    const ended = async () => {
      while (fixture.gateway.counters().active > 0) {
        await new Promise((resolve) => setTimeout(resolve));
      }
    };
    await withTestDeadline("the exchange to end", ended());
    assertEquals([fixture.gateway.counters().lost, fixture.doubts], [0, []]);
  },
);
