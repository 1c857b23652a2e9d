/** Sessions in which bytes flow: copying and splicing, back-pressure, fairness, and how they end. */
import { assert, assertEquals } from "@std/assert";
import { asText, bytes, SpliceFixture } from "./testing/splice_fixture.ts";
import { DRAIN } from "../../failover/testing/drain_order.ts";

Deno.test("bulk is copied when the system gives no pipe", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  fixture.kernel.fdMax = fixture.kernel.open;
  const sentText = "0123456789".repeat(100);
  let got = "";
  for (let sent = 0; got.length < sentText.length;) {
    sent += client.send(bytes(sentText.slice(sent)));
    fixture.runTicks();
    got += asText(upstream);
  }
  assertEquals(got, sentText);
  assertEquals(fixture.kernel.spliced, 0);
});

Deno.test("bulk moves through a pipe, small messages are copied, and an idle session holds no pipe", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  const before = fixture.kernel.open;
  const send = (size: number, times: number): void => {
    for (let i = 0; i < times; i++) {
      client.send(new Uint8Array(size));
      fixture.runTicks();
      assertEquals(upstream.read().length, size);
    }
  };
  send(10, 5);
  assertEquals(fixture.kernel.spliced, 0);
  send(200, 5);
  const { spliced, copied } = fixture.kernel;
  assert(spliced > 500, `${spliced} spliced`);
  send(200, 5);
  assertEquals([fixture.kernel.spliced - spliced, fixture.kernel.copied - copied], [1_000, 0]);
  send(10, 10);
  assert(fixture.kernel.copied - copied >= 60, "it never went back to copying");
  fixture.relay.deps.pools.trim();
  assertEquals(fixture.kernel.open, before);
});

/** A session that splices, and one beside it that sends nothing yet. */
function bulkBeside() {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const bulk = fixture.session();
  const talk = fixture.session();
  for (let i = 0; i < 5; i++) {
    bulk.client.send(new Uint8Array(200));
    fixture.runTicks();
    bulk.upstream.read();
  }
  return { fixture, bulk, talk };
}

Deno.test("a message is relayed before bulk that became ready at the same time", () => {
  const { fixture, bulk, talk } = bulkBeside();
  const order: string[] = [];
  for (const call of ["splice", "send"] as const) {
    const real = fixture.kernel[call].bind(fixture.kernel) as (...args: unknown[]) => number;
    Object.assign(fixture.kernel, {
      [call]: (...args: unknown[]) => (order.push(call), real(...args)),
    });
  }
  bulk.client.send(new Uint8Array(200));
  talk.client.send(bytes("hello"));
  fixture.relay.loop.tick();
  assertEquals([order[0], order[1]], ["send", "splice"]);
  assertEquals([asText(talk.upstream), bulk.upstream.read().length], ["hello", 200]);
});

Deno.test("bulk moves more in one tick while no other session is active, and less again from the first message on", () => {
  const { fixture, bulk, talk } = bulkBeside();
  // From here on there is always more to read, and always room for it.
  let calls = 0;
  fixture.kernel.splice = (_from, _to, count) => (calls++, count);
  bulk.client.send(new Uint8Array(200));
  const callsInATick = (): number => {
    calls = 0;
    fixture.relay.loop.tick();
    return calls;
  };
  callsInATick(); // its bytes are still copied
  const whileOthersWait = callsInATick();
  fixture.kernel.time += 100;
  const alone = callsInATick();
  assertEquals([alone, callsInATick()], [2 * whileOthersWait, 2 * whileOthersWait]);
  talk.client.send(bytes("hello"));
  assertEquals(callsInATick(), whileOthersWait);
  assertEquals(asText(talk.upstream), "hello");
});

Deno.test("keep-alive is switched on for a session that lasts for some seconds, and for no shorter one", () => {
  for (const idleTimeoutMs of [0, 60_000]) {
    const fixture = new SpliceFixture({ idleTimeoutMs });
    fixture.open("a", 1);
    const short = fixture.session();
    fixture.pass(1_000);
    short.client.end();
    short.upstream.end();
    fixture.session();
    fixture.pass(4_000);
    assertEquals(fixture.kernel.keptAlive.size, 0);
    fixture.pass(1_000);
    assertEquals([fixture.kernel.keptAlive.size, fixture.count("active")], [1, 1]);
  }
});

Deno.test("full reads that are not consecutive do not count as bulk", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  for (let i = 0; i < 10; i++) {
    client.send(new Uint8Array(100)); // a full buffer and a rest
    fixture.runTicks();
    upstream.read();
  }
  assertEquals(fixture.kernel.spliced, 0);
});

Deno.test("unused pipes are closed when descriptors run out", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  for (let i = 0; i < 3; i++) {
    client.send(new Uint8Array(200));
    fixture.runTicks();
    upstream.read();
  }
  fixture.kernel.fdMax = fixture.kernel.open;
  const late = fixture.client();
  fixture.pass(1_000);
  late.send(bytes("x"));
  fixture.runTicks();
  assertEquals(asText(fixture.kernel.upstreams.at(-1)!), "x");
});

Deno.test("a sink that accepts nothing stops its source, in that direction only", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  let taken = 0;
  for (let i = 0; i < 50; i++) {
    taken += client.send(new Uint8Array(100));
    fixture.runTicks();
  }
  assert(taken <= 3 * 256, `${taken} bytes taken`); // both sockets' buffers and one pipe
  upstream.send(bytes("the other way"));
  fixture.runTicks();
  assertEquals(asText(client), "the other way");
});

Deno.test("a session with endless input does not keep another from being relayed", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const eager = fixture.session();
  const modest = fixture.session();
  modest.client.send(bytes("me too"));
  // The eager session always has input: whenever the relay reads, there is more.
  const { kernel } = fixture;
  const receive = kernel.receive.bind(kernel);
  const splice = kernel.splice.bind(kernel);
  const refill = () => {
    eager.upstream.read();
    eager.client.send(new Uint8Array(200));
  };
  kernel.receive = (fd) => {
    refill();
    return receive(fd);
  };
  kernel.splice = (from, to, count) => {
    refill();
    return splice(from, to, count);
  };
  refill();
  for (let turn = 0; turn < 3; turn++) fixture.relay.loop.tick();
  assertEquals(asText(modest.upstream), "me too");
});

Deno.test("a session is idle when no byte moves either way, and one byte is enough to keep it", () => {
  const fixture = new SpliceFixture({ idleTimeoutMs: 1_000 });
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  for (let i = 0; i < 5; i++) {
    fixture.pass(800);
    upstream.send(bytes("."));
    fixture.runTicks();
  }
  assert(!client.weClosed);
  fixture.pass(1_000);
  assert(client.weClosed && upstream.weClosed && !upstream.weReset);
});

Deno.test("a session whose client only reads what is buffered for it is not idle", () => {
  const fixture = new SpliceFixture({ idleTimeoutMs: 1_000 });
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  upstream.send(new Uint8Array(256));
  fixture.runTicks();
  upstream.send(new Uint8Array(60));
  fixture.runTicks();
  for (let i = 0; i < 5; i++) {
    fixture.pass(800);
    assertEquals(client.read(10).length, 10);
    fixture.runTicks();
  }
  assert(!client.weClosed);
});

Deno.test("a reset by either side reaches the other as a reset", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const [one, two] = [fixture.session(), fixture.session()];
  one.client.reset();
  two.upstream.reset();
  fixture.runTicks();
  assert(one.upstream.weReset && two.client.weReset);
  assertEquals(fixture.count("active"), 0);
});

Deno.test("bytes that an upstream sent before its reset reach a client that is slow to read", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  let sent = 0;
  for (let i = 0; i < 20; i++) {
    sent += upstream.send(new Uint8Array(50));
    fixture.runTicks();
  }
  upstream.reset();
  fixture.runTicks();
  assert(!client.weClosed);
  let got = 0;
  while (!client.weClosed) {
    got += client.read().length;
    fixture.runTicks();
  }
  assertEquals(got + client.read().length, sent);
  assert(client.weReset);
});

/** A session whose client sent as much as fits and then ended by `what`, with the number of bytes. */
function endedWithUnread(what: "reset" | "close", settings = {}) {
  const fixture = new SpliceFixture(settings);
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  let sent = 0;
  for (let i = 0; i < 20; i++) {
    sent += client.send(new Uint8Array(50));
    fixture.runTicks();
  }
  client[what]();
  fixture.runTicks();
  return { fixture, client, upstream, sent };
}

Deno.test("a client that resets leaves its upstream with all that was acknowledged, then a reset", () => {
  const { fixture, upstream, sent } = endedWithUnread("reset");
  let got = 0;
  for (let step = 0; step < 100 && !upstream.weClosed; step++) {
    got += upstream.read(20).length;
    fixture.pass(1_000);
  }
  assertEquals([got + upstream.read().length, upstream.weReset], [sent, true]);
  assertEquals([fixture.count("active"), fixture.kernel.open], [0, 1 + 2]); // the port, and a pipe that is kept
});

Deno.test("an upstream that reads none of its remaining bytes for 30 s, or the idle time, is reset", () => {
  for (const [idleTimeoutMs, afterMs] of [[0, 30_000], [5_000, 5_000]] as const) {
    const { fixture, upstream } = endedWithUnread("reset", { idleTimeoutMs });
    fixture.pass(afterMs - 1_000);
    upstream.read(1);
    fixture.runTicks();
    fixture.pass(afterMs - 1_000);
    assert(!upstream.weClosed, `${idleTimeoutMs}`);
    fixture.pass(2_000);
    assert(upstream.weReset, `${idleTimeoutMs}`);
  }
});

Deno.test("a client that closes and is sent bytes after that leaves its upstream with everything, and an end", () => {
  const { fixture, upstream, sent } = endedWithUnread("close");
  upstream.send(bytes("late"));
  fixture.runTicks();
  let got = 0;
  for (let step = 0; step < 100 && !upstream.weClosed; step++) {
    upstream.send(bytes("and on"));
    got += upstream.read(20).length;
    fixture.pass(100);
  }
  assertEquals([got + upstream.read().length, upstream.weReset], [sent, false]);
});

Deno.test("an urgent byte does not stop a bulk transfer", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  let got = 0;
  for (let i = 0; i < 10; i++) {
    client.send(new Uint8Array(100));
    if (i === 4) client.sendUrgent();
    client.send(new Uint8Array(100));
    if (i === 9) client.end();
    fixture.runTicks();
    got += upstream.read().length;
  }
  fixture.runTicks();
  assertEquals([got + upstream.read().length, upstream.weEnded], [2_000, true]);
});

Deno.test("an upstream that answers and closes while the client still sends gets its answer through", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  upstream.send(bytes("too large"));
  upstream.end();
  fixture.runTicks();
  upstream.hasReset = true; // it answers further bytes with a reset
  client.send(new Uint8Array(100));
  fixture.runTicks();
  assertEquals(asText(client), "too large");
  assert(client.weClosed);
});

Deno.test("bytes that an upstream does not acknowledge are no movement: its client's writes do not spare a session", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const [dead, alive] = [fixture.session(), fixture.session()];
  const write = (bytes: number) => {
    for (const { client } of [dead, alive]) client.send(new Uint8Array(bytes));
    fixture.runTicks();
    alive.upstream.read();
    fixture.runTicks();
  };
  write(140); // more than a peer's buffer
  fixture.execute({ do: "drain", order: { ...DRAIN, sparedIfMovedMs: 2_000 } });
  for (let step = 0; step < 5; step++) {
    fixture.pass(1_000);
    write(1);
  }
  assert(
    dead.client.weReset && dead.upstream.weReset,
    "it stayed on an upstream that takes nothing",
  );
  assert(!alive.client.weClosed, "an upstream that takes what it gets is alive");
});

Deno.test("a session that only writes is idle when its upstream reads nothing", () => {
  const fixture = new SpliceFixture({ idleTimeoutMs: 3_000 });
  fixture.open("a", 1);
  const { client } = fixture.session();
  client.send(new Uint8Array(140));
  for (let step = 0; step < 10 && !client.weClosed; step++) {
    fixture.pass(1_000);
    client.send(new Uint8Array(1));
    fixture.runTicks();
  }
  assert(client.weClosed);
});
