/** Sessions in which bytes flow: copying and splicing, back-pressure, fairness, and how they end. */
import { assert, assertEquals } from "@std/assert";
import { bytes, Rig, text } from "./testing/rig.ts";

Deno.test("bulk is copied when the system gives no pipe", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.kernel.fdMax = rig.kernel.open;
  const said = "0123456789".repeat(100);
  let got = "";
  for (let sent = 0; got.length < said.length;) {
    sent += client.send(bytes(said.slice(sent)));
    rig.turns();
    got += text(upstream);
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
      rig.turns();
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
  rig.plane.plant.pools.trim();
  assertEquals(rig.kernel.open, before);
});

Deno.test("full reads that are not in a row are no bulk", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 10; i++) {
    client.send(new Uint8Array(100)); // a full buffer and a rest
    rig.turns();
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
    rig.turns();
    upstream.read();
  }
  rig.kernel.fdMax = rig.kernel.open;
  const late = rig.client();
  rig.pass(1_000);
  late.send(bytes("x"));
  rig.turns();
  assertEquals(text(rig.kernel.upstreams.at(-1)!), "x");
});

Deno.test("a sink that takes nothing stops its source, and only that direction", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  let taken = 0;
  for (let i = 0; i < 50; i++) {
    taken += client.send(new Uint8Array(100));
    rig.turns();
  }
  assert(taken <= 3 * 256, `${taken} bytes taken`); // both sockets' buffers and one pipe
  upstream.send(bytes("the other way"));
  rig.turns();
  assertEquals(text(client), "the other way");
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
  for (let turn = 0; turn < 3; turn++) rig.plane.loop.turn();
  assertEquals(text(modest.upstream), "me too");
});

Deno.test("a session is idle when no byte moves either way, and one byte is enough to go on", () => {
  const rig = new Rig({ idleTimeoutMs: 1_000 });
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 5; i++) {
    rig.pass(800);
    upstream.send(bytes("."));
    rig.turns();
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
  rig.turns();
  upstream.send(new Uint8Array(60));
  rig.turns();
  for (let i = 0; i < 5; i++) {
    rig.pass(800);
    assertEquals(client.read(10).length, 10);
    rig.turns();
  }
  assert(!client.weClosed);
});

Deno.test("a reset by either side reaches the other as a reset", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const [one, two] = [rig.session(), rig.session()];
  one.client.reset();
  two.upstream.reset();
  rig.turns();
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
    rig.turns();
  }
  upstream.reset();
  rig.turns();
  assert(!client.weClosed);
  let got = 0;
  while (!client.weClosed) {
    got += client.read().length;
    rig.turns();
  }
  assertEquals(got + client.read().length, sent);
  assert(client.weReset);
});

Deno.test("a client that resets while its upstream takes nothing is ended at once", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  for (let i = 0; i < 20; i++) {
    client.send(new Uint8Array(50));
    rig.turns();
  }
  client.reset();
  rig.turns();
  assert(upstream.weReset);
});

Deno.test("an upstream that answers and closes while the client still sends gets its answer through", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  upstream.send(bytes("too large"));
  upstream.end();
  rig.turns();
  upstream.hasReset = true; // what it gets from now on it answers with a reset
  client.send(new Uint8Array(100));
  rig.turns();
  assertEquals(text(client), "too large");
  assert(client.weClosed);
});
