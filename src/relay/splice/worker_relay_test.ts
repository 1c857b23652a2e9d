/** Orders, and clients that wait: what happens before bytes flow, and when sessions are to end. */
import { assert, assertEquals } from "@std/assert";
import { EHOSTUNREACH } from "../../linux/errno.ts";
import { endpointName } from "../../linux/testing/fake_kernel.ts";
import { asText, at, bytes, PORT, SpliceFixture } from "./testing/splice_fixture.ts";
import { DRAIN } from "../../failover/testing/drain_order.ts";

Deno.test("an upstream that is silent for 500 ms is doubted once, by a soft doubt", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "silence");
  fixture.open("a", 1);
  fixture.client();
  fixture.pass(480);
  assertEquals(fixture.doubts, []);
  fixture.pass(500);
  assertEquals(fixture.doubts, [
    { upstream: "a", epoch: 1, hard: false, reason: "no answer to connect" },
  ]);
  fixture.kernel.upstreams[0]!.accept();
  fixture.runTicks();
  assertEquals([fixture.count("active"), fixture.count("held")], [1, 0]);
});

Deno.test("a connect that gets no answer is given up after the connect timeout and may be confirmed", () => {
  const fixture = new SpliceFixture({ connectTimeoutMs: 2_000 });
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "silence");
  fixture.open("a", 1);
  fixture.client();
  fixture.pass(2_000);
  assertEquals([fixture.doubts.length, fixture.count("held")], [2, 1]);
  assert(fixture.kernel.upstreams[0]!.weClosed);
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "accept");
  fixture.execute({ do: "confirm", upstream: "a" });
  fixture.pass(50);
  assertEquals([fixture.count("active"), fixture.count("released")], [1, 1]);
});

Deno.test("a client whose connects keep failing tries at 50, 100, 200 … 1000 ms after each confirmation", () => {
  const fixture = new SpliceFixture({ holdMs: 60_000 });
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "refuse");
  fixture.open("a", 1);
  fixture.client();
  for (const waitMs of [50, 100, 200, 400, 800, 1_000, 1_000]) {
    const tries = fixture.kernel.upstreams.length;
    fixture.execute({ do: "confirm", upstream: "a" });
    fixture.pass(waitMs - 20);
    assertEquals(fixture.kernel.upstreams.length, tries, `before ${waitMs} ms`);
    fixture.pass(20);
    assertEquals(fixture.kernel.upstreams.length, tries + 1, `after ${waitMs} ms`);
  }
  assert(fixture.doubts.every(({ hard }) => hard));
});

Deno.test("a client without a verdict does not connect again by itself", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "refuse");
  fixture.open("a", 1);
  fixture.client();
  fixture.pass(5_000);
  assertEquals(fixture.kernel.upstreams.length, 1);
});

Deno.test("many clients that fail at once are one doubt", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "refuse");
  fixture.open("a", 1);
  for (let i = 0; i < 50; i++) fixture.kernel.client(PORT);
  fixture.runTicks();
  assertEquals([fixture.count("held"), fixture.doubts.length], [50, 1]);
});

Deno.test("a client waits for the longer of hold and connect timeout, then is lost with the last fault", () => {
  const fixture = new SpliceFixture({ holdMs: 1_000, connectTimeoutMs: 3_000 });
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), -EHOSTUNREACH);
  fixture.open("a", 1);
  const client = fixture.client();
  fixture.pass(2_900);
  assert(!client.weClosed);
  fixture.pass(100);
  assert(client.weClosed);
  assertEquals([
    fixture.count("lost"),
    fixture.count("held"),
    fixture.count("longestHoldMs") >= 3_000,
  ], [
    1,
    0,
    true,
  ]);
  assertEquals(fixture.of("session.failed"), [{
    type: "session.failed",
    upstream: "a",
    client: "10.0.0.1:40000",
    reason: "no route to host",
  }]);
});

Deno.test("an upstream with several addresses is tried at each, beginning with the one that answered", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.4", 80), "refuse");
  const addresses = [at("10.0.0.4"), at("10.0.0.2")];
  fixture.execute({ do: "open", upstream: "a", epoch: 1, addresses });
  fixture.client();
  fixture.client();
  const tried = fixture.kernel.upstreams.map(({ address }) => address);
  assertEquals(tried, ["10.0.0.4:80", "10.0.0.2:80", "10.0.0.2:80"]);
  assertEquals([fixture.count("active"), fixture.doubts.length], [2, 0]);
});

Deno.test("a silent address takes only its share of the connect timeout", () => {
  const fixture = new SpliceFixture({ connectTimeoutMs: 800 });
  fixture.kernel.answers.set(endpointName("10.0.0.4", 80), "silence");
  const addresses = [at("10.0.0.4"), at("10.0.0.2")];
  fixture.execute({ do: "open", upstream: "a", epoch: 1, addresses });
  fixture.client();
  fixture.pass(400);
  assertEquals(fixture.count("active"), 1);
});

Deno.test("clients wait while a name is looked up, and connect when its addresses are known", () => {
  const fixture = new SpliceFixture();
  fixture.execute({ do: "open", upstream: "a", epoch: 1, addresses: undefined });
  const client = fixture.client();
  client.send(bytes("x"));
  fixture.execute({ do: "addresses", upstream: "b", addresses: [at("10.0.0.3")] });
  assertEquals(fixture.kernel.upstreams, []);
  fixture.execute({ do: "addresses", upstream: "a", addresses: [at("10.0.0.2")] });
  assertEquals(asText(fixture.kernel.upstreams[0]!), "x");
});

Deno.test("a name that has no address is doubted, and its clients connect when it has one", () => {
  const fixture = new SpliceFixture();
  fixture.execute({ do: "open", upstream: "a", epoch: 1, addresses: undefined });
  fixture.client();
  fixture.execute({ do: "addresses", upstream: "a", addresses: [] });
  assertEquals(fixture.doubts.map(({ reason, hard }) => [reason, hard]), [[
    "name does not resolve",
    false,
  ]]);
  fixture.execute({ do: "addresses", upstream: "a", addresses: [at("10.0.0.2")] });
  assertEquals(fixture.count("active"), 1);
});

Deno.test("a client that had left before the hold is not held", () => {
  const fixture = new SpliceFixture();
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "silence");
  fixture.open("a", 1);
  fixture.client().end(); // may be a half-close as long as the upstream may answer
  fixture.runTicks();
  assertEquals(fixture.count("abandoned"), 0);
  fixture.execute({ do: "hold" });
  assertEquals([fixture.count("abandoned"), fixture.count("held")], [1, 0]);
});

Deno.test("clients beyond the hold limit are accepted when those before them are joined", () => {
  const fixture = new SpliceFixture({ heldMax: 2 });
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "refuse");
  fixture.open("a", 1);
  for (let i = 0; i < 4; i++) fixture.client();
  assertEquals([fixture.count("accepted"), fixture.of("limit.reached").length], [2, 1]);
  fixture.kernel.answers.set(endpointName("10.0.0.2", 80), "accept");
  fixture.execute({ do: "confirm", upstream: "a" });
  fixture.pass(50);
  assertEquals(fixture.count("active"), 4);
});

Deno.test("a client whose upstream ends a long unused connection has its full time to wait", () => {
  const fixture = new SpliceFixture({ holdMs: 1_000, connectTimeoutMs: 1_000 });
  fixture.open("a", 1);
  const client = fixture.client();
  fixture.pass(10_000);
  fixture.kernel.upstreams[0]!.end();
  fixture.runTicks();
  fixture.pass(900);
  assertEquals([fixture.count("held"), client.weClosed], [1, false]);
  fixture.pass(100);
  assertEquals([fixture.count("lost"), client.weClosed], [1, true]);
});

Deno.test("a client that is moved after a long time without bytes has its full time to connect", () => {
  const fixture = new SpliceFixture({ holdMs: 1_000, connectTimeoutMs: 1_000 });
  fixture.open("a", 1);
  const client = fixture.client();
  fixture.pass(10_000);
  fixture.kernel.answers.set(endpointName("10.0.0.3", 80), "silence");
  fixture.open("b", 2);
  fixture.pass(900);
  assertEquals([fixture.count("lost"), client.weClosed], [0, false]);
  fixture.pass(100);
  assertEquals([fixture.count("lost"), client.weClosed], [1, true]);
});

Deno.test("a drain gives sessions without bytes to the upstream that is open, and cuts none of them", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const client = fixture.client();
  fixture.execute({ do: "drain", order: DRAIN });
  assertEquals([fixture.kernel.upstreams.length, fixture.count("cut")], [2, 0]);
  client.send(bytes("x"));
  fixture.runTicks();
  assertEquals(asText(fixture.kernel.upstreams[1]!), "x");
});

Deno.test("an order of an older epoch changes nothing", () => {
  const fixture = new SpliceFixture();
  fixture.open("b", 2);
  fixture.open("a", 1);
  fixture.client();
  assertEquals(fixture.kernel.upstreams[0]!.address, "10.0.0.3:80");
});

Deno.test("running out of descriptors pauses accepting, is reported, and service continues", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  fixture.kernel.fdMax = fixture.kernel.open;
  const late = fixture.client();
  client.send(bytes("still here"));
  fixture.runTicks();
  assertEquals(asText(upstream), "still here");
  assertEquals(fixture.of("accept.failed"), [{
    type: "accept.failed",
    address: "127.0.0.1:1",
    reason: "too many open files",
    retryInMs: 10,
  }]);
  fixture.kernel.fdMax = Infinity;
  fixture.client();
  assertEquals([fixture.count("accepted"), fixture.of("accept.failed").length], [1, 1]);
  fixture.pass(50);
  assertEquals(fixture.count("accepted"), 3);
  late.send(bytes("hello"));
  fixture.runTicks();
  assertEquals(asText(fixture.kernel.upstreams.at(-2)!), "hello");
});

Deno.test("descriptors that a session frees end the pause at once", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client } = fixture.session();
  fixture.kernel.fdMax = fixture.kernel.open;
  fixture.client();
  fixture.runTicks();
  assertEquals(fixture.count("accepted"), 1);
  client.reset();
  fixture.runTicks();
  assertEquals(fixture.count("accepted"), 2);
});

Deno.test("a client for whose upstream no descriptor is left waits for one without a doubt", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  fixture.kernel.fdMax = fixture.kernel.open + 1;
  fixture.client();
  assertEquals([fixture.count("held"), fixture.doubts.length, fixture.of("accept.failed").length], [
    1,
    0,
    1,
  ]);
  fixture.kernel.fdMax = Infinity;
  fixture.pass(1_000);
  assertEquals(fixture.count("active"), 1);
});

Deno.test("a drain spares a session that moved lately, and examines it again", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const [silent, busy] = [fixture.session(), fixture.session()];
  fixture.pass(5_000);
  busy.client.send(bytes("x"));
  fixture.runTicks();
  fixture.execute({ do: "drain", order: { ...DRAIN, graceMs: 1_000, sparedIfMovedMs: 2_000 } });
  fixture.pass(900);
  assert(!silent.client.weClosed);
  fixture.pass(100);
  assert(silent.client.weReset && silent.upstream.weReset && !busy.client.weClosed);
  busy.client.send(bytes("y"));
  fixture.runTicks();
  fixture.pass(1_900);
  assert(!busy.client.weClosed);
  fixture.pass(2_100);
  assert(busy.client.weReset);
  const { type, reason } = { type: "sessions.cut" as const, reason: "test" };
  assertEquals(fixture.of("sessions.cut"), [
    { type, upstream: "a", count: 1, kept: 1, reason },
    { type, upstream: "a", count: 1, kept: 0, reason },
  ]);
  assertEquals(fixture.count("cut"), 2);
});

Deno.test("a stop ends the loop when the last session has ended, and cuts the rest at its deadline", () => {
  const fixture = new SpliceFixture();
  fixture.open("a", 1);
  const { client, upstream } = fixture.session();
  fixture.session();
  fixture.execute({ do: "stop", drainMs: 1_000 });
  assertEquals(fixture.kernel.client(PORT), undefined);
  client.end();
  upstream.end();
  fixture.runTicks();
  assertEquals([fixture.stopped, fixture.count("active")], [undefined, 1]);
  fixture.pass(1_000);
  assertEquals([fixture.stopped, fixture.count("cut"), fixture.kernel.open], [1, 0, 0]);
});
