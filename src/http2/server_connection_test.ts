/** Whole connections: requests, failures and time-outs. */
import { assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { onConns } from "../net/testing/fake_conn.ts";
import type { StreamExchange } from "./exchange.ts";
import { FRAME, readUint31 } from "./frames.ts";
import { frame, headers } from "./testing/frames.ts";
import { http2Fixture } from "./testing/server_fixture.ts";

async function hello(exchange: StreamExchange): Promise<void> {
  exchange.respond(200, "OK").line("X-Own", "1");
  await exchange.send(new TextEncoder().encode(`hello ${exchange.head.path}`));
}

onConns("a request gets its response", async (pair) => {
  const { connect } = http2Fixture(hello, pair);
  const { client } = await connect();
  await client.get(1, "/x");
  assertEquals(await client.response(), {
    lines: [":status: 200", "x-own: 1", "content-length: 8"],
    body: "hello /x",
    end: "end",
  });
});

onConns("requests are served side by side, and each gets its own response", async (pair) => {
  const first = Promise.withResolvers<void>();
  const { connect } = http2Fixture(async (exchange) => {
    if (exchange.head.path === "/1") await first.promise;
    await hello(exchange);
  }, pair);
  const { client } = await connect();
  await client.get(1, "/1");
  await client.get(3, "/2");
  assertEquals((await client.response()).body, "hello /2");
  first.resolve();
  assertEquals((await client.response()).body, "hello /1");
});

onConns("a body is given back as it comes, with back-pressure both ways", async (pair) => {
  const { connect } = http2Fixture(async (exchange) => {
    exchange.respond(200, "OK");
    await exchange.send(exchange.body);
  }, pair);
  const { client } = await connect(1_000);
  await client.post(1);
  // The window of the stream is smaller than the body: it is opened when it is used up.
  await client.send(frame(FRAME.settings, 0, 0, new Uint8Array([0, 4, 0, 0, 0x20, 0])));
  const text = "0123456789".repeat(1_000);
  const sending = (async () => {
    for (let part = 0; part < 6; part++) await client.data(1, text, part === 5);
  })();
  let body = "";
  let opened = 0x2000;
  for (let end = false; !end;) {
    const one = (await client.next())!;
    if (one.type !== "data") continue;
    body += new TextDecoder().decode(one.payload);
    end = (one.flags & 1) !== 0;
    assertEquals(body.length <= opened, true);
    if (body.length < opened) continue;
    opened += 0x2000;
    await client.send(frame(FRAME.windowUpdate, 0, 1, new Uint8Array([0, 0, 0x20, 0])));
  }
  await sending;
  assertEquals(body === text.repeat(6), true);
});

onConns("a handler that fails is answered with the status of its fault", async (pair) => {
  const { connect, faults, errors } = http2Fixture((exchange) => {
    if (exchange.head.path === "/fault") return Promise.reject(new Fault("noUpstream"));
    throw new TypeError("a bug");
  }, pair);
  const { client } = await connect();
  await client.get(1, "/fault");
  const refused = await client.response();
  assertEquals([refused.lines[0], refused.body], [":status: 503", "no upstream is usable\n"]);
  await client.get(3, "/bug");
  assertEquals((await client.response()).lines[0], ":status: 500");
  assertEquals([faults, errors.length], [["noUpstream"], 1]);
});

onConns("a response that breaks off is reset, and the connection goes on", async (pair) => {
  const { connect, faults } = http2Fixture(async (exchange) => {
    if (exchange.head.path === "/good") return await hello(exchange);
    exchange.respond(200, "OK");
    let parts = 0;
    await exchange.send({
      length: undefined,
      read: () => {
        if (parts++ > 0) return Promise.reject(new Fault("upstreamReset"));
        return Promise.resolve(new TextEncoder().encode("half"));
      },
    });
  }, pair);
  const { client } = await connect();
  await client.get(1);
  const { body, end } = await client.response();
  assertEquals([body, end, faults], ["half", "resetStream 2", ["upstreamReset"]]);
  await client.get(3, "/good");
  assertEquals((await client.response()).body, "hello /good");
});

onConns("a client that resets a stream ends its exchange alone", async (pair) => {
  const gone = Promise.withResolvers<Fault>();
  const { connect } = http2Fixture((exchange) => {
    if (exchange.head.path !== "/slow") return hello(exchange);
    const ended = Promise.withResolvers<void>();
    exchange.whenGone = (fault) => {
      gone.resolve(fault);
      ended.reject(fault);
    };
    return ended.promise;
  }, pair);
  const { client } = await connect();
  await client.get(1, "/slow");
  await client.send(frame(FRAME.resetStream, 0, 1, new Uint8Array([0, 0, 0, 8])));
  assertEquals((await gone.promise).fault, "clientReset");
  await client.get(3);
  assertEquals((await client.response()).body, "hello /");
});

onConns("a rule broken for the whole connection is told, and then it is closed", async (pair) => {
  const { connect, faults } = http2Fixture(hello, pair);
  const { client, done } = await connect();
  await client.send(frame(FRAME.ping, 0, 0, new Uint8Array(7)));
  const goAway = (await client.next())!;
  assertEquals([goAway.type, readUint31(goAway.payload, 4)], ["goAway", 6]);
  assertEquals(await client.next(), undefined);
  client.conn.close();
  await done;
  assertEquals(faults, ["broken: other"]);
});

onConns("a client that sends no preface is closed without an answer", async (pair) => {
  const { server } = http2Fixture(hello, pair);
  const [client, end] = pair();
  const done = server.serve(end, "peer", () => false);
  await client.sendText("GET / HTTP/1.1\r\n\r\n");
  await done;
  assertEquals([await client.readAllText(), server.connections], ["", 0]);
});

onConns("time-outs: no preface, no request, half a head, no window", async (pair) => {
  const limits = { headMs: 2_000, idleMs: 4_000, writeMs: 3_000 };
  const { connect, server, pass, faults } = http2Fixture(
    async (exchange) => {
      exchange.respond(200, "OK");
      await exchange.send(new Uint8Array(100_000));
    },
    pair,
    limits,
  );
  const [, silent] = pair();
  const dones = [server.serve(silent, "peer", () => false)];
  const idle = await connect();
  const half = await connect();
  await half.client.send(frame(FRAME.headers, 0, 1, "\x82"));
  const slow = await connect(1_000_000);
  await slow.client.get(1);
  const { body, end } = await (async () => {
    const reading = slow.client.response();
    await pass(8_000);
    return await reading;
  })();
  assertEquals([body.length, end], [65_535, "resetStream 8"]);
  const late = "broken: slow_head";
  assertEquals(faults.toSorted(), [late, late, "broken: slow_windows", "slowReader"]);
  for (const { client } of [idle, half, slow]) client.conn.close();
  await Promise.all([...dones, idle.done, half.done, slow.done]);
  assertEquals(server.connections, 0);
});

onConns(
  "a frame that comes in part is late, and each frame has a time of its own",
  async (pair) => {
    const waiting = Promise.withResolvers<void>();
    const handler = (exchange: StreamExchange) =>
      exchange.head.path === "/wait" ? waiting.promise : hello(exchange);
    const { connect, pass, faults } = http2Fixture(handler, pair, { headMs: 2_000 });
    const { client, done } = await connect();
    await client.get(1, "/wait");
    const whole = headers(3);
    // Each read ends inside of a frame, but never of the same one for long.
    await client.send(whole.subarray(0, 5));
    for (let id = 3; id < 11; id += 2) {
      await pass(1_500);
      await client.send(headers(id).subarray(5), headers(id + 2).subarray(0, 5));
      assertEquals((await client.response()).body, "hello /");
    }
    assertEquals(faults, []);
    await pass(2_250);
    const goAway = (await client.next())!;
    assertEquals([goAway.type, goAway.payload[7], faults[0]], ["goAway", 11, "broken: slow_head"]);
    client.conn.close();
    waiting.reject(new Fault("clientGone"));
    await done;
  },
);
