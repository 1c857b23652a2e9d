/** Sessions in which bytes flow: copying and splicing, back-pressure, fairness, and how they end. */
import { assert, assertEquals } from "@std/assert";
import { asText, bytes, DRAIN, Rig } from "./testing/rig.ts";

Deno.test("bulk is copied when the system gives no pipe", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.kernel.fdMax = rig.kernel.open;
  const said = "0123456789".repeat(100);
  let got = "";
  for (let sent = 0; got.length < said.length;) {
    sent += client.send(bytes(said.slice(sent)));
    rig.runTicks();
    got += asText(upstream);
  }
  assertEquals(got, said);
  assertEquals(rig.kernel.spliced, 0);
});

Deno.test("bulk moves through a pipe, small messages are copied, and an idle session holds no pipe", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  const before = rig.kernel.open;
  const send = (size: number, times: number): void => {
    for (let i = 0; i < times; i++) {
      client.send(new Uint8Array(size));
      rig.runTicks();
      assertEquals(upstream.read().length, size);
    }
  };
  send(10, 5);
  assertEquals(rig.kernel.spliced, 0);
  send(200, 5);
  const { spliced, copied } = rig.kernel;
  assert(spliced > 500, `${spliced} spliced`);
  send(200, 5);
  assertEquals([rig.kernel.spliced - spliced, rig.kernel.copied - copied], [1_000, 0]);
  send(10, 10);
  assert(rig.kernel.copied - copied >= 60, "it never went back to copying");
  rig.relay.deps.pools.trim();
  assertEquals(rig.kernel.open, before);
});

Deno.test("a message is relayed before bulk that became ready at the same time", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const bulk = rig.session();
  const talk = rig.session();
  for (let i = 0; i < 5; i++) {
    bulk.client.send(new Uint8Array(200));
    rig.runTicks();
    bulk.upstream.read();
  }
  const order: string[] = [];
  for (const call of ["splice", "send"] as const) {
    const real = rig.kernel[call].bind(rig.kernel) as (...args: unknown[]) => number;
    Object.assign(rig.kernel, {
      [call]: (...args: unknown[]) => (order.push(call), real(...args)),
    });
  }
  bulk.client.send(new Uint8Array(200));
  talk.client.send(bytes("hello"));
  rig.relay.loop.tick();
  assertEquals([order[0], order[1]], ["send", "splice"]);
  assertEquals([asText(talk.upstream), bulk.upstream.read().length], ["hello", 200]);
});

Deno.test("bulk moves more in one turn while there is nobody else, and less again from the first message on", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const bulk = rig.session();
  const talk = rig.session();
  for (let i = 0; i < 5; i++) {
    bulk.client.send(new Uint8Array(200));
    rig.runTicks();
    bulk.upstream.read();
  }
  // From here on there is always more to read, and always room for it.
  let calls = 0;
  rig.kernel.splice = (_from, _to, count) => (calls++, count);
  bulk.client.send(new Uint8Array(200));
  const callsInATick = (): number => {
    calls = 0;
    rig.relay.loop.tick();
    return calls;
  };
  callsInATick(); // its bytes are still copied
  const whileOthersWait = callsInATick();
  rig.kernel.time += 100;
  const alone = callsInATick();
  assertEquals([alone, callsInATick()], [2 * whileOthersWait, 2 * whileOthersWait]);
  talk.client.send(bytes("hello"));
  assertEquals(callsInATick(), whileOthersWait);
  assertEquals(asText(talk.upstream), "hello");
});

Deno.test("the system looks after the peer of a session that lives for some seconds, and of no shorter one", () => {
  for (const idleTimeoutMs of [0, 60_000]) {
    const rig = new Rig({ idleTimeoutMs });
    rig.open("a", 1);
    const short = rig.session();
    rig.pass(1_000);
    short.client.end();
    short.upstream.end();
    rig.session();
    rig.pass(4_000);
    assertEquals(rig.kernel.keptAlive.size, 0);
    rig.pass(1_000);
    assertEquals([rig.kernel.keptAlive.size, rig.count("active")], [1, 1]);
  }
});

Deno.test("full reads that are not in a row are no bulk", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 10; i++) {
    client.send(new Uint8Array(100)); // a full buffer and a rest
    rig.runTicks();
    upstream.read();
  }
  assertEquals(rig.kernel.spliced, 0);
});

Deno.test("pipes that wait for their next use are given back when descriptors run out", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 3; i++) {
    client.send(new Uint8Array(200));
    rig.runTicks();
    upstream.read();
  }
  rig.kernel.fdMax = rig.kernel.open;
  const late = rig.client();
  rig.pass(1_000);
  late.send(bytes("x"));
  rig.runTicks();
  assertEquals(asText(rig.kernel.upstreams.at(-1)!), "x");
});

Deno.test("a sink that takes nothing stops its source, and only that direction", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  let taken = 0;
  for (let i = 0; i < 50; i++) {
    taken += client.send(new Uint8Array(100));
    rig.runTicks();
  }
  assert(taken <= 3 * 256, `${taken} bytes taken`); // both sockets' buffers and one pipe
  upstream.send(bytes("the other way"));
  rig.runTicks();
  assertEquals(asText(client), "the other way");
});

Deno.test("a flood does not keep another session from its turn", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const greedy = rig.session();
  const modest = rig.session();
  modest.client.send(bytes("me too"));
  // The greedy one never runs dry: whenever the relay reads, there is more.
  const { kernel } = rig;
  const receive = kernel.receive.bind(kernel);
  const splice = kernel.splice.bind(kernel);
  const refill = () => {
    greedy.upstream.read();
    greedy.client.send(new Uint8Array(200));
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
  for (let turn = 0; turn < 3; turn++) rig.relay.loop.tick();
  assertEquals(asText(modest.upstream), "me too");
});

Deno.test("a session is idle when no byte moves either way, and one byte is enough to go on", () => {
  const rig = new Rig({ idleTimeoutMs: 1_000 });
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 5; i++) {
    rig.pass(800);
    upstream.send(bytes("."));
    rig.runTicks();
  }
  assert(!client.weClosed);
  rig.pass(1_000);
  assert(client.weClosed && upstream.weClosed && !upstream.weReset);
});

Deno.test("a session whose client only takes what is held for it is not idle", () => {
  const rig = new Rig({ idleTimeoutMs: 1_000 });
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  upstream.send(new Uint8Array(256));
  rig.runTicks();
  upstream.send(new Uint8Array(60));
  rig.runTicks();
  for (let i = 0; i < 5; i++) {
    rig.pass(800);
    assertEquals(client.read(10).length, 10);
    rig.runTicks();
  }
  assert(!client.weClosed);
});

Deno.test("a reset by either side reaches the other as a reset", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const [one, two] = [rig.session(), rig.session()];
  one.client.reset();
  two.upstream.reset();
  rig.runTicks();
  assert(one.upstream.weReset && two.client.weReset);
  assertEquals(rig.count("active"), 0);
});

Deno.test("bytes that an upstream sent before its reset reach a client that is slow to read", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  let sent = 0;
  for (let i = 0; i < 20; i++) {
    sent += upstream.send(new Uint8Array(50));
    rig.runTicks();
  }
  upstream.reset();
  rig.runTicks();
  assert(!client.weClosed);
  let got = 0;
  while (!client.weClosed) {
    got += client.read().length;
    rig.runTicks();
  }
  assertEquals(got + client.read().length, sent);
  assert(client.weReset);
});

/** A session whose client sent as much as goes in and then did `what`; and how much that was. */
function owing(what: "reset" | "close", settings = {}) {
  const rig = new Rig(settings);
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  let sent = 0;
  for (let i = 0; i < 20; i++) {
    sent += client.send(new Uint8Array(50));
    rig.runTicks();
  }
  client[what]();
  rig.runTicks();
  return { rig, client, upstream, sent };
}

Deno.test("a client that resets leaves its upstream with all that was acknowledged, then a reset", () => {
  const { rig, upstream, sent } = owing("reset");
  let got = 0;
  for (let step = 0; step < 100 && !upstream.weClosed; step++) {
    got += upstream.read(20).length;
    rig.pass(1_000);
  }
  assertEquals([got + upstream.read().length, upstream.weReset], [sent, true]);
  assertEquals([rig.count("active"), rig.kernel.open], [0, 1 + 2]); // the port, and a pipe that is kept
});

Deno.test("an upstream that takes nothing of what it is owed for 30 s, or the idle time, is reset", () => {
  for (const [idleTimeoutMs, afterMs] of [[0, 30_000], [5_000, 5_000]] as const) {
    const { rig, upstream } = owing("reset", { idleTimeoutMs });
    rig.pass(afterMs - 1_000);
    upstream.read(1);
    rig.runTicks();
    rig.pass(afterMs - 1_000);
    assert(!upstream.weClosed, `${idleTimeoutMs}`);
    rig.pass(2_000);
    assert(upstream.weReset, `${idleTimeoutMs}`);
  }
});

Deno.test("a client that closes and is spoken to after that leaves its upstream with everything, and an end", () => {
  const { rig, upstream, sent } = owing("close");
  upstream.send(bytes("late"));
  rig.runTicks();
  let got = 0;
  for (let step = 0; step < 100 && !upstream.weClosed; step++) {
    upstream.send(bytes("and on"));
    got += upstream.read(20).length;
    rig.pass(100);
  }
  assertEquals([got + upstream.read().length, upstream.weReset], [sent, false]);
});

Deno.test("an urgent byte in bulk stops nothing", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  let got = 0;
  for (let i = 0; i < 10; i++) {
    client.send(new Uint8Array(100));
    if (i === 4) client.sendUrgent();
    client.send(new Uint8Array(100));
    if (i === 9) client.end();
    rig.runTicks();
    got += upstream.read().length;
  }
  rig.runTicks();
  assertEquals([got + upstream.read().length, upstream.weEnded], [2_000, true]);
});

Deno.test("an upstream that answers and closes while the client still sends gets its answer through", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  upstream.send(bytes("too large"));
  upstream.end();
  rig.runTicks();
  upstream.hasReset = true; // what it gets from now on it answers with a reset
  client.send(new Uint8Array(100));
  rig.runTicks();
  assertEquals(asText(client), "too large");
  assert(client.weClosed);
});

Deno.test("what an upstream does not acknowledge is no movement: its client's writing does not spare a session", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const [dead, alive] = [rig.session(), rig.session()];
  const write = (bytes: number) => {
    for (const { client } of [dead, alive]) client.send(new Uint8Array(bytes));
    rig.runTicks();
    alive.upstream.read();
    rig.runTicks();
  };
  write(140); // more than a peer's buffer
  rig.execute({ do: "drain", order: { ...DRAIN, sparedIfMovedMs: 2_000 } });
  for (let step = 0; step < 5; step++) {
    rig.pass(1_000);
    write(1);
  }
  assert(
    dead.client.weReset && dead.upstream.weReset,
    "it stayed on an upstream that takes nothing",
  );
  assert(!alive.client.weClosed, "an upstream that takes what it gets is alive");
});

Deno.test("a session that only writes is idle when its upstream takes nothing", () => {
  const rig = new Rig({ idleTimeoutMs: 3_000 });
  rig.open("a", 1);
  const { client } = rig.session();
  client.send(new Uint8Array(140));
  for (let step = 0; step < 10 && !client.weClosed; step++) {
    rig.pass(1_000);
    client.send(new Uint8Array(1));
    rig.runTicks();
  }
  assert(client.weClosed);
});
