/** Answers that arrive before their request has ended, and responses that stop: each side is notified. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  close,
  nodeUpstream,
  parsed,
  rawUpstream,
  readAllText,
  readToEnd,
  readUntil,
  sendText,
} from "./gateway_fixture.ts";
import { onBothSockets } from "./both_sockets.ts";

onBothSockets(
  "a chunked upload over the limit always gets its 413, with Expect or without, however much is sent",
  async ({ start }) => {
    await using up = await nodeUpstream((request, response) => {
      request.resume().on("error", () => {}).on("end", () => response.end("well"));
    });
    await using fixture = await start([up.port], { bodyMax: 10_000 });
    await fixture.open(0);
    for (const expect of ["", "Expect: 100-continue\r\n"]) {
      for (let i = 0; i < 5; i++) {
        const conn = await fixture.connect();
        await sendText(
          conn,
          `PUT / HTTP/1.1\r\nHost: a\r\n${expect}Transfer-Encoding: chunked\r\n\r\n`,
        );
        const before = expect === "" ? "" : await withTestDeadline("100", readUntil(conn));
        assertMatch(before, expect === "" ? /^$/ : /^HTTP\/1\.1 100 /);
        // More than the buffers hold, so that some of it arrives after the answer.
        const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
        for (let n = 0; n < 30; n++) await sendText(conn, chunk);
        const answer = parsed(await withTestDeadline("an answer", readAllText(conn)));
        assertEquals([answer.status, answer.get("connection")], [413, "close"]);
        close(conn);
      }
    }
  },
);

onBothSockets(
  "an upstream's answer during an upload reaches a client that continues to send",
  async ({ start }) => {
    await using up = rawUpstream(async (conn) => {
      await readUntil(conn, "xxxx");
      await sendText(conn, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
      await readAllText(conn);
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    for (const framing of ["Content-Length: 4000000", "Transfer-Encoding: chunked"]) {
      const conn = await fixture.connect();
      await sendText(conn, `PUT / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`);
      const part = "x".repeat(65_536);
      const chunk = framing.startsWith("C") ? part : `10000\r\n${part}\r\n`;
      for (let n = 0; n < 40; n++) await sendText(conn, chunk);
      const answer = parsed(await withTestDeadline("an answer", readAllText(conn)));
      assertEquals([answer.status, answer.get("connection"), answer.body], [403, "close", "no"]);
      close(conn);
    }
    assertEquals(fixture.doubts, []);
  },
);

onBothSockets(
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
    const stopped = await fixture.connect();
    await sendText(stopped, "GET /stops HTTP/1.1\r\nHost: a\r\n\r\n");
    const events = await fixture.connect();
    await sendText(events, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    await withTestDeadline(
      "the first part",
      Promise.all([readUntil(stopped, "part"), readUntil(events, "part")]),
    );
    await clock.advance(59_000);
    assertEquals(fixture.gateway.counters().lost, 0);
    await clock.advance(2_000);
    assertEquals((await withTestDeadline("the end", readToEnd(stopped))).end, cut);
    assertEquals([fixture.gateway.counters().lost, fixture.gateway.counters().active], [1, 1]);
    assertMatch(JSON.stringify(fixture.events), /no response in time/);
    speak.resolve();
    assertEquals(await withTestDeadline("the rest", readUntil(events, "..")), " and the rest ..");
  },
);

onBothSockets(
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
    const conn = await fixture.connect();
    await sendText(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await withTestDeadline("the request", asked.promise);
    close(conn);
    // The FIN may not have arrived yet; the clock advances only as far as needed.
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
