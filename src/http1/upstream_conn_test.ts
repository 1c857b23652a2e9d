/** Connections to upstreams and their pool, with an upstream that sends each byte when the test says so. */
import { assertEquals, assertInstanceOf } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { type MakePair, onConns } from "../net/testing/fake_conn.ts";
import { get, poolFixture, textOf, WAIT } from "./testing/pool_fixture.ts";
import { rejectedWith } from "../base/testing/faults.ts";

/** Sends a request on a new connection and answers it; returns the reply or the fault. */
async function answered(pair: MakePair, answer: string, method = "GET", end = true) {
  const { pool, upstreams } = poolFixture(pair);
  const connection = await pool.connect();
  const reply = get(connection, method).catch((error) => error as Fault);
  await upstreams[0]!.readUntil("\r\n\r\n");
  await upstreams[0]!.sendText(answer);
  if (end) await upstreams[0]!.closeWrite();
  return { reply: await reply, connection, pool };
}

onConns(
  "a request is sent as given, with framing added, and the connection is used again",
  async (pair) => {
    const { pool, upstreams } = poolFixture(pair);
    const first = await pool.connect();
    assertEquals(first.requestStarted, false);
    const reply = get(first);
    assertEquals(
      await upstreams[0]!.readUntil("\r\n\r\n"),
      "GET /a?b HTTP/1.1\r\nHost: up\r\n\r\n",
    );
    assertEquals([first.requestStarted, first.responseStarted, first.reused], [true, false, false]);
    await upstreams[0]!.sendText("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-Y: z\r\n\r\nok");
    const { head, body } = await reply;
    assertEquals([head.status, head.reason, head.fields.get("x-y")], [200, "Fine", "z"]);
    assertEquals(await textOf(body), "ok");
    first.release();
    assertEquals(pool.idle, 1);

    const second = pool.take();
    assertEquals(second, first);
    const again = get(first, "POST", WAIT, new TextEncoder().encode("hi"));
    assertEquals([first.reused, first.responseStarted], [true, false]);
    assertEquals(
      await upstreams[0]!.readUntil("hi"),
      "POST /a?b HTTP/1.1\r\nHost: up\r\nContent-Length: 2\r\n\r\nhi",
    );
    await upstreams[0]!.sendText("HTTP/1.1 204 No Content\r\n\r\n");
    assertEquals((await again).body.none, true);
    first.release();
    pool.close();
  },
);

onConns(
  "a body of unknown length is sent chunked, and a chunked response is read with its trailers",
  async (pair) => {
    const { pool, upstreams } = poolFixture(pair);
    const connection = await pool.connect();
    const parts = ["ab", "c"].map((part) => new TextEncoder().encode(part));
    const source = { length: undefined, read: () => Promise.resolve(parts.shift()) };
    const reply = get(connection, "PUT", WAIT, source);
    assertEquals(
      await upstreams[0]!.readUntil("0\r\n\r\n"),
      "PUT /a?b HTTP/1.1\r\nHost: up\r\nTransfer-Encoding: chunked\r\n\r\n" +
        "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
    );
    await upstreams[0]!.sendText(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n",
    );
    await upstreams[0]!.sendText("0\r\nX-Sum: 6\r\n\r\n");
    const { body } = await reply;
    assertEquals(await textOf(body), "abc");
    assertEquals(body.trailers?.get("x-sum"), "6");
    connection.release();
    assertEquals(pool.idle, 1);
    pool.close();
  },
);

onConns(
  "a connection is not kept after a response that ends with it, says close, or is followed by more bytes",
  async (pair) => {
    for (
      const [answer, text] of [
        ["HTTP/1.1 200 OK\r\n\r\nall", "all"],
        ["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "x"],
        ["HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "x"],
        ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n", "x"],
      ] as const
    ) {
      const { reply, connection, pool } = await answered(
        pair,
        answer,
        "GET",
        answer.endsWith("all"),
      );
      if (reply instanceof Fault) throw reply;
      assertEquals(await textOf(reply.body), text);
      connection.release();
      assertEquals(pool.idle, 0, answer);
    }
  },
);

onConns("a response to HEAD declares a length and has no body", async (pair) => {
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n";
  const { reply, connection, pool } = await answered(pair, answer, "HEAD", false);
  if (reply instanceof Fault) throw reply;
  assertEquals([reply.body.length, reply.body.none], [12345, true]);
  connection.release();
  assertEquals(pool.idle, 1);
  pool.close();
});

onConns(
  "a failed response is a fault, and it is known whether a byte of it arrived",
  async (pair) => {
    for (
      const [answer, fault, started] of [
        ["", "upstreamReset", false],
        ["HTTP/1.1 20", "responseCut", true],
        ["SSH-2.0-x\r\n", "badResponse", true],
        ["HTTP/1.1 101 Switching\r\n\r\n", "badResponse", true],
        ["HTTP/1.1 103 X\r\n\r\n".repeat(40), "badResponse", true],
      ] as const
    ) {
      const { reply, connection } = await answered(pair, answer);
      assertInstanceOf(reply, Fault);
      assertEquals(reply.fault, fault, answer);
      assertEquals(connection.responseStarted, started, answer);
      connection.release();
    }
  },
);

onConns("a body that is cut or malformed rejects instead of ending", async (pair) => {
  const cut = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (
    const [answer, fault] of [
      [cut, "responseCut"],
      [`${chunked}3\r\nabc\r\n`, "responseCut"],
      [`${chunked}3\r\nabcd\r\n`, "badResponse"],
    ] as const
  ) {
    const { reply, connection, pool } = await answered(pair, answer);
    if (reply instanceof Fault) throw reply;
    assertEquals(await rejectedWith(textOf(reply.body)), fault);
    connection.release();
    assertEquals(pool.idle, 0);
  }
});

onConns(
  "the response time begins when the request has been sent, and ends with the head",
  async (pair) => {
    const { pool, clock, upstreams } = poolFixture(pair, { bodyMs: 60_000 });
    const connection = await pool.connect();
    const body = Promise.withResolvers<Uint8Array | undefined>();
    const reads = [body.promise, Promise.resolve(undefined)];
    const source = { length: undefined, read: () => reads.shift() ?? Promise.resolve(undefined) };
    const reply = get(connection, "PUT", { responseMs: 5_000 }, source);
    await upstreams[0]!.readUntil("\r\n\r\n");
    await clock.advance(20_000);
    body.resolve(new Uint8Array(3));
    await upstreams[0]!.readUntil("0\r\n\r\n");
    await clock.advance(4_000);
    await upstreams[0]!.sendText("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    const { body: answer } = await reply;
    await clock.advance(20_000);
    await upstreams[0]!.sendText("abc");
    assertEquals(await textOf(answer), "abc");
    connection.release();

    const late = get(pool.take()!);
    const failed = rejectedWith(late);
    await clock.advance(6_000);
    assertEquals(await failed, "responseTimeout");
    assertEquals(clock.pending, 0);
  },
);

onConns("an early response is returned while the request is still being sent", async (pair) => {
  const { pool, upstreams } = poolFixture(pair);
  const connection = await pool.connect();
  const never = new Promise<undefined>(() => {});
  const reply = get(connection, "PUT", WAIT, { length: undefined, read: () => never });
  await upstreams[0]!.readUntil("\r\n\r\n");
  await upstreams[0]!.sendText("HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n");
  assertEquals((await reply).head.status, 413);
  connection.release();
  assertEquals(pool.idle, 0);
});

onConns("a client that leaves while it sends its body ends the upstream request", async (pair) => {
  const { pool, ends } = poolFixture(pair);
  const connection = await pool.connect();
  const source = { length: 10, read: () => Promise.reject(new Fault("clientReset")) };
  assertEquals(await rejectedWith(get(connection, "PUT", WAIT, source)), "clientReset");
  assertEquals(ends[0]!.end, "reset");
});

onConns(
  "a body that waits for 100 Continue is sent then, or after one second, or never",
  async (pair) => {
    const body = () => new TextEncoder().encode("body");
    const options = { ...WAIT, waitForContinue: true };
    const { pool, upstreams, clock } = poolFixture(pair);
    const ask = async () => {
      const connection = await pool.connect();
      return { connection, reply: get(connection, "PUT", options, body()) };
    };
    const reported = await ask();
    assertEquals((await upstreams[0]!.readUntil("\r\n\r\n")).endsWith("4\r\n\r\n"), true);
    await upstreams[0]!.sendText("HTTP/1.1 100 Continue\r\n\r\n");
    assertEquals(await upstreams[0]!.readUntil("body"), "body");

    const mute = await ask();
    await upstreams[1]!.readUntil("\r\n\r\n");
    await clock.advance(1_000);
    assertEquals(await upstreams[1]!.readUntil("body"), "body");

    const refused = await ask();
    await upstreams[2]!.readUntil("\r\n\r\n");
    await upstreams[2]!.sendText("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    assertEquals((await refused.reply).head.status, 417);
    refused.connection.release();
    assertEquals(await upstreams[2]!.readAllText(), "");
    for (const { connection, reply } of [reported, mute]) {
      connection.abort(new Fault("clientGone"));
      assertEquals(await rejectedWith(reply), "clientGone");
    }
  },
);

onConns("informational responses are passed on in order before the final one", async (pair) => {
  const { pool, upstreams } = poolFixture(pair);
  const seen: number[] = [];
  const connection = await pool.connect();
  const onInformational = (head: { status: number }) => void seen.push(head.status);
  const reply = get(connection, "GET", { ...WAIT, onInformational });
  await upstreams[0]!.sendText("HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n");
  await upstreams[0]!.sendText("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  assertEquals((await reply).head.status, 200);
  assertEquals(seen, [102, 103]);
  connection.release();
  pool.close();
});

onConns("after a 101 the raw connection returns early bytes first", async (pair) => {
  const { pool, upstreams } = poolFixture(pair);
  const connection = await pool.connect();
  connection.request("GET", "/").line("Upgrade", "echo");
  const reply = connection.exchange(null, { ...WAIT, upgrade: true });
  assertEquals(
    await upstreams[0]!.readUntil("\r\n\r\n"),
    "GET / HTTP/1.1\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n",
  );
  await upstreams[0]!.sendText("HTTP/1.1 101 Switching\r\nUpgrade: echo\r\n\r\nearly");
  assertEquals((await reply).head.status, 101);
  const conn = connection.detach();
  const buffer = new Uint8Array(10);
  assertEquals(await conn.read(buffer), 5);
  conn.close();
});
