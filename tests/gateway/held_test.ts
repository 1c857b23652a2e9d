/** Requests that wait: for a decision, for room among the retries, or until the end of the hold. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { ManualClock } from "../../src/base/clock.ts";
import { untilRefused } from "../../src/net/testing/refused.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  type GatewayFixture,
  nodeUpstream,
  rawUpstream,
  readUntil,
  refusingPort,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import { headers, joined, opening } from "../../src/http2/testing/frames.ts";
import { well } from "./failing_upstreams.ts";

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
