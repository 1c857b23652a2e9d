/** Retries, with upstreams that fail at every point of an exchange. */
import { ManualClock } from "../../src/base/clock.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  close,
  type GatewayFixture,
  nodeUpstream,
  rawUpstream,
  readAllText,
  readUntil,
  refusingPort,
  type RunningServer,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import { OPENED } from "./story_client.ts";
import { switching } from "./switching.ts";
import { headers, joined, opening } from "../../src/http2/testing/frames.ts";
import { untilRefused } from "../../src/net/testing/refused.ts";
import { DRAIN } from "../../src/failover/testing/drain_order.ts";

/** Answers every request with `text`, and counts them. */
async function well(text = "well"): Promise<RunningServer & { readonly bodies: string[] }> {
  const bodies: string[] = [];
  const up = await nodeUpstream((request, response) => {
    let body = "";
    request.on("data", (data) => body += data).on("error", () => {});
    request.on("end", () => {
      bodies.push(`${request.method} ${body}`);
      response.end(text);
    });
  });
  return Object.assign(up, { bodies });
}

/** Answers the first request of each connection, and closes the connection when a second one arrives. */
function closingAtSecond(requests: string[]) {
  return rawUpstream(async (conn) => {
    requests.push(await readUntil(conn));
    await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const second = await readUntil(conn);
    if (second !== "") requests.push(second);
  });
}

/** Reads a whole head, adds it to `seen`, and closes without a byte of an answer. */
function hangingUp(seen: string[]): RunningServer {
  return rawUpstream(async (conn) => {
    const text = await readUntil(conn);
    if (text !== "") seen.push(text.slice(0, text.indexOf(" ")));
  });
}

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
  "an upstream that ends and closes its port last is given time to do so: no repeatable request is lost",
  async ({ start }) => {
    let connections = 0;
    const dying = rawUpstream(async (conn) => {
      await readUntil(conn);
      if (++connections > 1) return;
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      await readUntil(conn);
    });
    await using backup = await well();
    const clock = new ManualClock();
    await using fixture = await start([dying.port, backup.port], { clock });
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    const answer = fixture.ask("GET", "/");
    await held(fixture, 1);
    await dying[Symbol.asyncDispose]();
    await untilRefused(dying.port);
    await clock.advance(250);
    const { status } = await withTestDeadline("an answer", answer);
    assertEquals([status, connections, backup.bodies], [200, 1, ["GET "]]);
  },
);

onBothProtocols(
  "with an upstream that accepts and resets until its end a repeatable request waits for the verdict of the check",
  async ({ start }) => {
    let [connections, swallowed] = [0, 0];
    await using dying = rawUpstream(async (conn) => {
      const isFirst = ++connections === 1;
      await readUntil(conn);
      if (!isFirst) return void swallowed++;
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      await readUntil(conn);
    });
    await using backup = await well();
    await using fixture = await start([dying.port, backup.port]);
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    fixture.onDoubt = () => void fixture.open(1);
    const { status } = await fixture.ask("GET", "/");
    assertEquals([status, swallowed, backup.bodies], [200, 0, ["GET "]]);
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

onBothProtocols(
  "retries have a budget: a fifth of the running exchanges, at least three; others wait",
  async ({ start }) => {
    let hungUp = 0;
    const all = Promise.withResolvers<void>();
    await using bad = rawUpstream(async (conn) => {
      await readUntil(conn);
      if (++hungUp === 10) all.resolve();
      await all.promise;
    });
    let [now, most] = [0, 0];
    const serving = new Set<() => void>();
    await using backup = await nodeUpstream((_, response) => {
      most = Math.max(most, ++now);
      serving.add(() => {
        now--;
        response.end("well");
      });
    });
    await using fixture = await start([bad.port, backup.port]);
    await fixture.open(0);
    let answered = 0;
    const asking = Array.from({ length: 10 }, async () => {
      assertEquals((await fixture.ask("GET", "/")).status, 200);
      answered++;
    });
    const turn = () => new Promise((resolve) => setTimeout(resolve));
    const serve = async () => {
      while (answered < 10) {
        // As many as may be repeated at one time, or all that are left; and then there is time for one too many.
        while (serving.size < Math.min(3, 10 - answered)) await turn();
        for (let i = 0; i < 10; i++) await turn();
        for (const end of serving) {
          serving.delete(end);
          end();
        }
      }
    };
    await withTestDeadline("all answers", Promise.all([serve(), ...asking]));
    assertEquals(most, 3);
  },
);

onBothProtocols("without a hold, a retry without room fails at once", async ({ start }) => {
  await using bad = rawUpstream(async (conn) => {
    await readUntil(conn);
  });
  const go = Promise.withResolvers<void>();
  let waiting = 0;
  await using backup = await nodeUpstream(async (_, response) => {
    waiting++;
    await go.promise;
    response.end("well");
  });
  await using fixture = await start([bad.port, backup.port], { holdMs: 0 });
  await fixture.open(0);
  const first = [1, 2, 3].map(() => fixture.ask("GET", "/"));
  const there = async () => {
    while (waiting < 3) await new Promise((resolve) => setImmediate(resolve));
  };
  await withTestDeadline("three repeats", there());
  assertEquals((await fixture.ask("GET", "/")).status, 502);
  go.resolve();
  assertEquals((await Promise.all(first)).map((a) => a.status), [200, 200, 200]);
});

onBothProtocols(
  "without another upstream a refused request waits, and follows the next decision",
  async ({ start }) => {
    await using backup = await well();
    await using fixture = await start([refusingPort(), backup.port], { standIn: false });
    await fixture.open(0);
    fixture.onDoubt = async () => {
      await fixture.gateway.hold();
      await fixture.open(1);
    };
    const answer = await fixture.ask("POST", "/", [], "once");
    assertEquals([answer.status, backup.bodies], [200, ["POST once"]]);
    assertEquals(answer.get("failover"), "upstream=backup; attempt=2; reason=connect-refused");
  },
);

onBothProtocols(
  "an upstream that passes its check gets the requests that had doubted it",
  async ({ start }) => {
    const port = refusingPort();
    await using fixture = await start([port], { standIn: false });
    await fixture.open(0);
    const doubted = Promise.withResolvers<void>();
    fixture.onDoubt = () => doubted.resolve();
    const asking = fixture.ask("POST", "/", [], "once");
    await doubted.promise;
    await using _up = await nodeUpstream((_, response) => response.end("back"), port);
    await fixture.gateway.confirm("u0");
    assertEquals((await asking).body, "back");
  },
);

onBothProtocols(
  "held requests continue at a decision, and are turned away by a refusal",
  async ({ start }) => {
    await using up = await well();
    await using fixture = await start([up.port]);
    const first = fixture.ask("GET", "/");
    const second = fixture.ask("POST", "/", [], "x");
    await held(fixture, 2);
    await fixture.open(0);
    assertEquals([(await first).status, (await second).status], [200, 200]);
    await fixture.gateway.hold();
    const third = fixture.ask("GET", "/");
    await held(fixture, 1);
    await fixture.gateway.refuse();
    const refused = await third;
    assertEquals([refused.status, refused.get("retry-after")], [503, "5"]);
    assertStringIncludes(refused.body, "Back in a moment");
    assertEquals((await fixture.ask("GET", "/")).status, 503);
    assertEquals(fixture.gateway.counters().released, 2);
  },
);

/** Resolves when this many exchanges wait. */
async function held(fixture: GatewayFixture, count: number): Promise<void> {
  const waiting = async () => {
    while (fixture.gateway.counters().held < count) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await withTestDeadline(`${count} to be held`, waiting());
}

onBothProtocols("more requests than may be held get 503 at once", async ({ start }) => {
  await using fixture = await start([refusingPort()], { heldMax: 1 });
  const first = fixture.ask("GET", "/");
  await held(fixture, 1);
  assertEquals((await fixture.ask("GET", "/")).status, 503);
  await fixture.gateway.refuse();
  await first;
});

onBothProtocols(
  "at the end of the hold clients get the configured error page",
  async ({ start }) => {
    const bytes = new TextEncoder().encode("our page");
    await using fixture = await start([refusingPort()], {
      holdMs: 20,
      errorPage: { contentType: "text/plain", bytes },
      failoverHeader: false,
    });
    const answer = await fixture.ask("GET", "/");
    assertEquals([answer.status, answer.body], [503, "our page"]);
    assertEquals(answer.get("failover"), undefined);
  },
);

onBothProtocols("a held client that leaves makes room for another", async ({ start, protocol }) => {
  await using fixture = await start([refusingPort()]);
  const gone = async () => {
    while (fixture.gateway.counters().held > 0) await new Promise((r) => setImmediate(r));
  };
  // Over HTTP/1.1 an end may be that of the request alone, and a reset is none.
  const conn = (await import("node:net")).connect(fixture.port, "127.0.0.1");
  conn.write(
    protocol === "HTTP/2" ? joined([opening(), headers(1)]) : "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  );
  await held(fixture, 1);
  conn.resetAndDestroy();
  await withTestDeadline("the held client to be released", gone());
  assertEquals(fixture.gateway.counters().abandoned, 1);
  if (protocol === "HTTP/1.1") return;
  const client = await fixture.client();
  const asked = await client.begin("GET", "/");
  await held(fixture, 1);
  await asked.leave();
  await withTestDeadline("the reset stream to be released", gone());
  assertEquals(fixture.gateway.counters().abandoned, 2);
});

onBothProtocols(
  "five gateway errors in a row put the upstream in doubt; other errors never do",
  async ({ start }) => {
    let status = 500;
    await using up = await nodeUpstream((_, response) => response.writeHead(status).end());
    await using fixture = await start([up.port]);
    await fixture.open(0);
    for (let i = 0; i < 6; i++) await fixture.ask("GET", "/");
    status = 503;
    for (let i = 0; i < 4; i++) assertEquals((await fixture.ask("GET", "/")).status, 503);
    assertEquals(fixture.doubts, []);
    await fixture.ask("GET", "/");
    assertEquals(fixture.doubts.map(({ hard, epoch }) => [hard, epoch]), [[false, 1]]);
  },
);

onBothProtocols(
  "an upstream that does not answer is given up at its time-out, and a safe request goes to the next one",
  async ({ start }) => {
    let asked = Promise.withResolvers<void>();
    await using mute = rawUpstream(async (conn) => {
      const text = await readUntil(conn);
      // The time begins when the request has been sent, with its body.
      if (text.startsWith("POST")) await readUntil(conn, "\r\n\r\nx", text);
      asked.resolve();
      await readAllText(conn);
    });
    await using backup = await well();
    const clock = new ManualClock();
    await using fixture = await start([mute.port, backup.port], { responseTimeoutMs: 100, clock });
    await fixture.open(0);
    const ask = async (method: string, body = "") => {
      asked = Promise.withResolvers();
      const answer = fixture.ask(method, "/", [], body);
      await withTestDeadline("the request", asked.promise);
      await clock.advance(500);
      return await withTestDeadline("an answer", answer);
    };
    assertEquals(
      (await ask("GET")).get("failover"),
      "upstream=backup; attempt=2; reason=response-timeout",
    );
    assertEquals((await ask("POST", "x")).status, 504);
    assertEquals(fixture.doubts.map((d) => d.hard), [false, false]);
  },
);

onBothProtocols(
  "when the active upstream goes down, its running exchanges end, and repeatable ones move on",
  async ({ start }) => {
    let there = 0;
    const both = Promise.withResolvers<void>();
    await using frozen = rawUpstream(async (conn) => {
      await readUntil(conn);
      if (++there === 2) both.resolve();
      await readAllText(conn);
    });
    await using backup = await well();
    await using fixture = await start([frozen.port, backup.port]);
    await fixture.open(0);
    const get = fixture.ask("GET", "/");
    const post = fixture.ask("POST", "/", [], "once");
    await both.promise;
    await fixture.open(1);
    await fixture.gateway.drain({ ...DRAIN, upstream: "u0" });
    assertEquals([(await get).status, (await post).status], [200, 502]);
    assertEquals(backup.bodies, ["GET "]);
    assertEquals(fixture.gateway.counters().cut, 2);
  },
);

onBothProtocols(
  "a static backup answers, and is named in the header",
  async ({ start }) => {
    await using fixture = await start([refusingPort()], {
      backup: (request) =>
        Promise.resolve(
          new Response(`file for ${request.method} ${new URL(request.url).pathname}`),
        ),
    });
    await fixture.open(0);
    const answer = await fixture.ask("GET", "/x");
    assertEquals([answer.status, answer.body], [200, "file for GET /x"]);
    assertEquals(answer.get("failover"), "upstream=backup; attempt=2; reason=connect-refused");
  },
);

onBothProtocols(
  "an upgraded connection ends when its upstream is given up",
  async ({ start, cut }) => {
    await using up = rawUpstream(async (conn) => {
      await sendText(conn, await switching(await readUntil(conn)));
      await readAllText(conn);
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const tunnel = await (await fixture.client()).tunnel("/");
    assert(OPENED.includes((await tunnel.head()).status));
    await fixture.gateway.drain({ ...DRAIN, upstream: "u0" });
    const { body, end } = await withTestDeadline("the tunnel to end", tunnel.rest());
    // Without a length an end in order is that of the whole, over Deno's sockets.
    assertEquals([body, end], ["", cut === "reset" ? "reset" : "whole"]);
  },
);

onBothProtocols(
  "a drain lets a running exchange finish, and then closes its connection",
  async ({ start, protocol }) => {
    const there = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    await using up = await nodeUpstream(async (_, response) => {
      there.resolve();
      await go.promise;
      response.end("done");
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const client = await fixture.client();
    const asked = await client.begin("GET", "/");
    await there.promise;
    const stopping = fixture.listening.stop(10_000, new AbortController().signal);
    go.resolve();
    const answer = await withTestDeadline("the answer", asked.answer());
    assertEquals([answer.body, answer.end], ["done", "whole"]);
    if (protocol === "HTTP/1.1") assertEquals(answer.get("connection"), "close");
    assertEquals(await withTestDeadline("the end", client.readToEnd()), "ended");
    assertEquals(await stopping, 0);
    assert(fixture.events.some((e) => e.type === "port.closed"));
  },
);

onBothProtocols(
  "a request on a kept connection moves to another upstream when its own goes down",
  async ({ start }) => {
    let silent = false;
    const isAsked = Promise.withResolvers<void>();
    await using up = await nodeUpstream((_, response) => {
      if (silent) isAsked.resolve();
      else response.end("first");
    });
    await using backup = await nodeUpstream((_, response) => response.end("second"));
    await using fixture = await start([up.port, backup.port], { responseTimeoutMs: 0 });
    await fixture.open(0);
    assertEquals((await fixture.ask("GET", "/")).status, 200);
    silent = true;
    const answer = fixture.ask("GET", "/");
    await isAsked.promise;
    await fixture.open(1);
    const order = { ...DRAIN, upstream: "u0", throughEpoch: fixture.epoch - 1, reason: "silent" };
    await fixture.gateway.drain(order);
    assertEquals((await withTestDeadline("an answer", answer)).body, "second");
  },
);
