/** What becomes of running exchanges when their upstream is in doubt, down, silent, or drained. */
import { ManualClock } from "../../src/base/clock.ts";
import { assert, assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import {
  nodeUpstream,
  rawUpstream,
  readAllText,
  readUntil,
  refusingPort,
  sendText,
} from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import { OPENED } from "./story_client.ts";
import { switching } from "./switching.ts";
import { DRAIN } from "../../src/failover/testing/drain_order.ts";
import { well } from "./failing_upstreams.ts";

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
