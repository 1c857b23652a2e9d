/** Retries, with upstreams that fail at every point of an exchange. */
import { ManualClock } from "../../src/base/clock.ts";
import { assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { close, rawUpstream, readUntil, refusingPort, sendText } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import { closingAtSecond, hangingUp, well } from "./failing_upstreams.ts";

onBothProtocols(
  "a refused connection sends any request to the next upstream at once",
  async ({ start }) => {
    await using backup = await well();
    await using fixture = await start([refusingPort(), backup.port]);
    await fixture.open(0);
    const answer = await fixture.ask("POST", "/", [], "once");
    assertEquals([answer.status, answer.body.includes("well")], [200, true]);
    assertEquals(answer.get("failover"), "upstream=backup; attempt=2; reason=connect-refused");
    assertEquals(backup.bodies, ["POST once"]);
    assertEquals(fixture.doubts.map(({ upstream, hard }) => [upstream, hard]), [["u0", true]]);
  },
);

onBothProtocols(
  "a repeatable request is repeated once, with its body, if no byte of a response arrived",
  async ({ start }) => {
    const seen: string[] = [];
    await using bad = hangingUp(seen);
    await using backup = await well();
    await using fixture = await start([bad.port, backup.port]);
    await fixture.open(0);
    const answer = await fixture.ask("PUT", "/", [], "twice");
    assertEquals([answer.status, seen, backup.bodies], [200, ["PUT"], ["PUT twice"]]);
    assertEquals(answer.get("failover"), "upstream=backup; attempt=2; reason=upstream-reset");
  },
);

onBothProtocols("a request is sent twice, never three times", async ({ start }) => {
  const seen: string[] = [];
  await using bad = hangingUp(seen);
  await using worse = hangingUp(seen);
  await using backup = await well();
  await using fixture = await start([bad.port, worse.port, backup.port]);
  await fixture.open(0);
  const answer = await fixture.ask("GET", "/");
  assertEquals([answer.status, seen, backup.bodies], [502, ["GET", "GET"], []]);
});

onBothProtocols(
  "a request that was lost on a stale connection counts as sent: it is sent once more, not twice",
  async ({ start }) => {
    const seen: string[] = [];
    // Keeps its connection after the first answer, and closes it at the next request.
    await using bad = rawUpstream(async (conn) => {
      if ((await readUntil(conn)) === "") return;
      seen.push("GET");
      if (seen.length > 1) return;
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      if ((await readUntil(conn)) !== "") seen.push("GET");
    });
    await using backup = await well();
    await using fixture = await start([bad.port, backup.port]);
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    const answer = await fixture.ask("GET", "/");
    assertEquals([answer.status, seen.length - 1, backup.bodies], [502, 2, []]);
    assertEquals(fixture.doubts.length, 2);
  },
);

onBothProtocols(
  "an unsafe request that was sent is not retried, and the client is given the reason",
  async ({ start }) => {
    const seen: string[] = [];
    await using bad = hangingUp(seen);
    await using backup = await well();
    await using fixture = await start([bad.port, backup.port]);
    await fixture.open(0);
    const answer = await fixture.ask("POST", "/", [], "once");
    assertEquals([answer.status, seen, backup.bodies], [502, ["POST"], []]);
    assertEquals(answer.get("failover"), "upstream=none; attempt=1; reason=upstream-reset");
  },
);

onBothProtocols(
  "an Idempotency-Key makes a request repeatable, if the operator has enabled that",
  async ({ start }) => {
    for (const honourIdempotencyKey of [false, true]) {
      await using bad = hangingUp([]);
      await using backup = await well();
      await using fixture = await start([bad.port, backup.port], { honourIdempotencyKey });
      await fixture.open(0);
      const answer = await fixture.ask("POST", "/", ["Idempotency-Key: k1"], "once");
      assertEquals(answer.status, honourIdempotencyKey ? 200 : 502);
      assertEquals(backup.bodies, honourIdempotencyKey ? ["POST once"] : []);
    }
  },
);

onBothProtocols("a body that is too large to keep is not repeated", async ({ start }) => {
  const seen: string[] = [];
  await using bad = rawUpstream(async (conn) => {
    seen.push((await readUntil(conn, "end")).slice(0, 3));
  });
  await using backup = await well();
  await using fixture = await start([bad.port, backup.port]);
  await fixture.open(0);
  const small = await fixture.ask("PUT", "/", [], `${"x".repeat(65_000)}end`);
  const large = await fixture.ask("PUT", "/", [], `${"x".repeat(70_000)}end`);
  assertEquals([small.status, large.status, seen.length], [200, 502, 2]);
  assertEquals(backup.bodies.map((b) => b.length), [4 + 65_003]);
});

onBothProtocols(
  "a body that is still arriving when the upstream fails is sent to the next one",
  async ({ start }) => {
    const failed = Promise.withResolvers<void>();
    await using bad = rawUpstream(async (conn) => {
      await readUntil(conn, "first");
      close(conn);
      failed.resolve();
    });
    await using backup = await well();
    await using fixture = await start([bad.port, backup.port]);
    await fixture.open(0);
    const client = await fixture.client();
    const asked = await client.begin("PUT", "/", ["Content-Length: 11"], { hasBody: true });
    await asked.send("first ");
    await failed.promise;
    await asked.send("second".slice(0, 5));
    await asked.end();
    assertEquals((await withTestDeadline("an answer", asked.answer())).status, 200);
    assertEquals(backup.bodies, ["PUT first secon"]);
  },
);

onBothProtocols(
  "a kept connection that went stale is replaced when a check has passed",
  async ({ start }) => {
    const requests: string[] = [];
    await using up = closingAtSecond(requests);
    await using fixture = await start([up.port]);
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    fixture.onDoubt = ({ upstream }) => void fixture.gateway.confirm(upstream);
    const second = await fixture.ask("GET", "/");
    assertEquals([second.status, requests.length, fixture.doubts.length], [200, 3, 1]);
    assertEquals(second.get("failover"), "upstream=primary; attempt=2");
  },
);

onBothProtocols(
  "the last attempt of a request uses a new connection, although others are kept",
  async ({ start }) => {
    const both = Promise.withResolvers<void>();
    const requests: number[] = [];
    let connections = 0;
    await using up = rawUpstream(async (conn) => {
      const number = ++connections;
      for (let first = true; await readUntil(conn) !== ""; first = false) {
        requests.push(number);
        if (number <= 2 && !first) return;
        if (requests.length === 2) both.resolve();
        await both.promise;
        await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      }
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    await Promise.all([fixture.ask("GET", "/"), fixture.ask("GET", "/")]);
    fixture.onDoubt = ({ upstream }) => void fixture.gateway.confirm(upstream);
    assertEquals([(await fixture.ask("GET", "/")).status, requests.at(-1)], [200, 3]);
  },
);

onBothProtocols(
  "an unsafe request on a kept connection that went stale is not repeated",
  async ({ start }) => {
    const requests: string[] = [];
    await using up = closingAtSecond(requests);
    // An unsafe request uses a kept connection only for a short time, which does not pass here.
    await using fixture = await start([up.port], { clock: new ManualClock() });
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    const { status } = await fixture.ask("POST", "/", [], "x");
    assertEquals([status, requests.length], [502, 2]);
  },
);

onBothProtocols(
  "a response that has begun is not continued from another upstream: the client is told by a reset",
  async ({ start, cut }) => {
    for (
      const framing of [
        "Content-Length: 100\r\n\r\npart",
        "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
      ]
    ) {
      await using bad = rawUpstream(async (conn) => {
        await readUntil(conn);
        await sendText(conn, `HTTP/1.1 200 OK\r\n${framing}`);
      });
      await using backup = await well();
      await using fixture = await start([bad.port, backup.port]);
      await fixture.open(0);
      const asked = await (await fixture.client()).begin("GET", "/");
      const { status, body, end } = await withTestDeadline("the end", asked.answer());
      assertEquals([status, body, end], [200, "part", cut]);
      assertEquals([backup.bodies, fixture.gateway.counters().lost], [[], 1]);
      assertEquals(fixture.doubts.map((d) => [d.reason, d.hard]), [[
        "response was cut short",
        true,
      ]]);
    }
  },
);

onBothProtocols(
  "many incomplete responses are reported in one line per second",
  async ({ start, cut }) => {
    await using bad = rawUpstream(async (conn) => {
      await readUntil(conn);
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
    });
    await using fixture = await start([bad.port], { clock: new ManualClock() });
    await fixture.open(0);
    for (let i = 0; i < 5; i++) {
      const asked = await (await fixture.client()).begin("GET", "/");
      assertEquals((await withTestDeadline("the end", asked.answer())).end, cut);
    }
    assertEquals(fixture.gateway.counters().lost, 5);
    assertEquals(fixture.events.filter((event) => event.type === "session.failed").length, 1);
  },
);

onBothProtocols(
  "an interim response begins the response: after it nothing is repeated",
  async ({ start }) => {
    await using bad = rawUpstream(async (conn) => {
      await readUntil(conn);
      await sendText(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    });
    await using backup = await well();
    await using fixture = await start([bad.port, backup.port]);
    await fixture.open(0);
    const asked = await (await fixture.client()).begin("GET", "/");
    const { interim, status } = await withTestDeadline("an answer", asked.answer());
    assertEquals([interim, status], [[103], 502]);
    assertEquals(backup.bodies, []);
  },
);

onBothProtocols(
  "a malformed response is answered 502, and nothing of it reaches the client",
  async ({ start }) => {
    const bad = [
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nab",
      "HTTP/1.1 200 OK\rX: 1\r\r",
      "HTTP/1.1 200 OK\nX: 1\r\r\n\n",
      "HTTP/1.1 200 OK\nX: a\0b\n\n",
      "HTTP/1.1 200 OK\nX: a\n folded\n\n",
      "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
      "garbage\r\n\r\n",
    ];
    for (const response of bad) {
      await using up = rawUpstream(async (conn) => {
        await readUntil(conn);
        await sendText(conn, response);
      });
      await using fixture = await start([up.port]);
      await fixture.open(0);
      const answer = await fixture.ask("GET", "/");
      assertEquals([answer.status, answer.get("x")], [502, undefined], response);
    }
  },
);
