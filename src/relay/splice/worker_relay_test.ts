/** Orders, and clients that wait: what a plane does before bytes flow, and when they are to end. */
import { assert, assertEquals } from "@std/assert";
import { EHOSTUNREACH } from "../../linux/errno.ts";
import { where } from "../../linux/testing/fake_kernel.ts";
import { asText, at, bytes, DRAIN, PORT, Rig } from "./testing/rig.ts";

Deno.test("an upstream that is silent for 500 ms is doubted once, softly", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "silence");
  rig.open("a", 1);
  rig.client();
  rig.pass(480);
  assertEquals(rig.doubts, []);
  rig.pass(500);
  assertEquals(rig.doubts, [
    { upstream: "a", epoch: 1, hard: false, reason: "no answer to connect" },
  ]);
  rig.kernel.upstreams[0]!.accept();
  rig.runTicks();
  assertEquals([rig.count("active"), rig.count("held")], [1, 0]);
});

Deno.test("a connect that gets no answer is given up after the connect timeout and may be confirmed", () => {
  const rig = new Rig({ connectTimeoutMs: 2_000 });
  rig.kernel.answers.set(where("10.0.0.2", 80), "silence");
  rig.open("a", 1);
  rig.client();
  rig.pass(2_000);
  assertEquals([rig.doubts.length, rig.count("held")], [2, 1]);
  assert(rig.kernel.upstreams[0]!.weClosed);
  rig.kernel.answers.set(where("10.0.0.2", 80), "accept");
  rig.execute({ do: "confirm", upstream: "a" });
  rig.pass(50);
  assertEquals([rig.count("active"), rig.count("released")], [1, 1]);
});

Deno.test("a client whose connects keep failing tries at 50, 100, 200 … 1000 ms after each confirmation", () => {
  const rig = new Rig({ holdMs: 60_000 });
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.open("a", 1);
  rig.client();
  for (const waitMs of [50, 100, 200, 400, 800, 1_000, 1_000]) {
    const tries = rig.kernel.upstreams.length;
    rig.execute({ do: "confirm", upstream: "a" });
    rig.pass(waitMs - 20);
    assertEquals(rig.kernel.upstreams.length, tries, `before ${waitMs} ms`);
    rig.pass(20);
    assertEquals(rig.kernel.upstreams.length, tries + 1, `after ${waitMs} ms`);
  }
  assert(rig.doubts.every(({ hard }) => hard));
});

Deno.test("a client without a verdict does not connect again by itself", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.open("a", 1);
  rig.client();
  rig.pass(5_000);
  assertEquals(rig.kernel.upstreams.length, 1);
});

Deno.test("many clients that fail at once are one doubt", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.open("a", 1);
  for (let i = 0; i < 50; i++) rig.kernel.client(PORT);
  rig.runTicks();
  assertEquals([rig.count("held"), rig.doubts.length], [50, 1]);
});

Deno.test("a client waits for the longer of hold and connect timeout, then is lost with the last fault", () => {
  const rig = new Rig({ holdMs: 1_000, connectTimeoutMs: 3_000 });
  rig.kernel.answers.set(where("10.0.0.2", 80), -EHOSTUNREACH);
  rig.open("a", 1);
  const client = rig.client();
  rig.pass(2_900);
  assert(!client.weClosed);
  rig.pass(100);
  assert(client.weClosed);
  assertEquals([rig.count("lost"), rig.count("held"), rig.count("longestHoldMs") >= 3_000], [
    1,
    0,
    true,
  ]);
  assertEquals(rig.of("session.failed"), [{
    type: "session.failed",
    upstream: "a",
    client: "10.0.0.1:40000",
    reason: "no route to host",
  }]);
});

Deno.test("an upstream with several addresses is tried at each, beginning with the one that answered", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.4", 80), "refuse");
  const addresses = [at("10.0.0.4"), at("10.0.0.2")];
  rig.execute({ do: "open", upstream: "a", epoch: 1, addresses });
  rig.client();
  rig.client();
  const tried = rig.kernel.upstreams.map(({ address }) => address);
  assertEquals(tried, ["10.0.0.4:80", "10.0.0.2:80", "10.0.0.2:80"]);
  assertEquals([rig.count("active"), rig.doubts.length], [2, 0]);
});

Deno.test("a silent address takes only its share of the connect timeout", () => {
  const rig = new Rig({ connectTimeoutMs: 800 });
  rig.kernel.answers.set(where("10.0.0.4", 80), "silence");
  const addresses = [at("10.0.0.4"), at("10.0.0.2")];
  rig.execute({ do: "open", upstream: "a", epoch: 1, addresses });
  rig.client();
  rig.pass(400);
  assertEquals(rig.count("active"), 1);
});

Deno.test("clients wait while a name is looked up, and go on when its addresses are known", () => {
  const rig = new Rig();
  rig.execute({ do: "open", upstream: "a", epoch: 1, addresses: undefined });
  const client = rig.client();
  client.send(bytes("x"));
  rig.execute({ do: "addresses", upstream: "b", addresses: [at("10.0.0.3")] });
  assertEquals(rig.kernel.upstreams, []);
  rig.execute({ do: "addresses", upstream: "a", addresses: [at("10.0.0.2")] });
  assertEquals(asText(rig.kernel.upstreams[0]!), "x");
});

Deno.test("a name that has no address is doubted, and its clients go on when it has one", () => {
  const rig = new Rig();
  rig.execute({ do: "open", upstream: "a", epoch: 1, addresses: undefined });
  rig.client();
  rig.execute({ do: "addresses", upstream: "a", addresses: [] });
  assertEquals(rig.doubts.map(({ reason, hard }) => [reason, hard]), [[
    "name does not resolve",
    false,
  ]]);
  rig.execute({ do: "addresses", upstream: "a", addresses: [at("10.0.0.2")] });
  assertEquals(rig.count("active"), 1);
});

Deno.test("a client that had left before the hold is not held", () => {
  const rig = new Rig();
  rig.kernel.answers.set(where("10.0.0.2", 80), "silence");
  rig.open("a", 1);
  rig.client().end(); // may be a half-close as long as the upstream may answer
  rig.runTicks();
  assertEquals(rig.count("abandoned"), 0);
  rig.execute({ do: "hold" });
  assertEquals([rig.count("abandoned"), rig.count("held")], [1, 0]);
});

Deno.test("clients beyond the hold limit are accepted when those before them are joined", () => {
  const rig = new Rig({ heldMax: 2 });
  rig.kernel.answers.set(where("10.0.0.2", 80), "refuse");
  rig.open("a", 1);
  for (let i = 0; i < 4; i++) rig.client();
  assertEquals([rig.count("accepted"), rig.of("limit.reached").length], [2, 1]);
  rig.kernel.answers.set(where("10.0.0.2", 80), "accept");
  rig.execute({ do: "confirm", upstream: "a" });
  rig.pass(50);
  assertEquals(rig.count("active"), 4);
});

Deno.test("a client whose upstream ends unused after long has its full time to wait", () => {
  const rig = new Rig({ holdMs: 1_000, connectTimeoutMs: 1_000 });
  rig.open("a", 1);
  const client = rig.client();
  rig.pass(10_000);
  rig.kernel.upstreams[0]!.end();
  rig.runTicks();
  rig.pass(900);
  assertEquals([rig.count("held"), client.weClosed], [1, false]);
  rig.pass(100);
  assertEquals([rig.count("lost"), client.weClosed], [1, true]);
});

Deno.test("a client that is moved unused after long has its full time to connect", () => {
  const rig = new Rig({ holdMs: 1_000, connectTimeoutMs: 1_000 });
  rig.open("a", 1);
  const client = rig.client();
  rig.pass(10_000);
  rig.kernel.answers.set(where("10.0.0.3", 80), "silence");
  rig.open("b", 2);
  rig.pass(900);
  assertEquals([rig.count("lost"), client.weClosed], [0, false]);
  rig.pass(100);
  assertEquals([rig.count("lost"), client.weClosed], [1, true]);
});

Deno.test("a drain gives sessions without bytes to the upstream that is open, and cuts none of them", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const client = rig.client();
  rig.execute({ do: "drain", order: DRAIN });
  assertEquals([rig.kernel.upstreams.length, rig.count("cut")], [2, 0]);
  client.send(bytes("x"));
  rig.runTicks();
  assertEquals(asText(rig.kernel.upstreams[1]!), "x");
});

Deno.test("an order of an older epoch changes nothing", () => {
  const rig = new Rig();
  rig.open("b", 2);
  rig.open("a", 1);
  rig.client();
  assertEquals(rig.kernel.upstreams[0]!.address, "10.0.0.3:80");
});

Deno.test("running out of descriptors pauses accepting, is reported, and service continues", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.kernel.fdMax = rig.kernel.open;
  const late = rig.client();
  client.send(bytes("still here"));
  rig.runTicks();
  assertEquals(asText(upstream), "still here");
  assertEquals(rig.of("accept.failed"), [{
    type: "accept.failed",
    address: "127.0.0.1:1",
    reason: "too many open files",
    retryInMs: 10,
  }]);
  rig.kernel.fdMax = Infinity;
  rig.client();
  assertEquals([rig.count("accepted"), rig.of("accept.failed").length], [1, 1]);
  rig.pass(50);
  assertEquals(rig.count("accepted"), 3);
  late.send(bytes("hello"));
  rig.runTicks();
  assertEquals(asText(rig.kernel.upstreams.at(-2)!), "hello");
});

Deno.test("descriptors that a session gives back end the pause at once", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client } = rig.session();
  rig.kernel.fdMax = rig.kernel.open;
  rig.client();
  rig.runTicks();
  assertEquals(rig.count("accepted"), 1);
  client.reset();
  rig.runTicks();
  assertEquals(rig.count("accepted"), 2);
});

Deno.test("a client for whose upstream no descriptor is left waits for one without a doubt", () => {
  const rig = new Rig();
  rig.open("a", 1);
  rig.kernel.fdMax = rig.kernel.open + 1;
  rig.client();
  assertEquals([rig.count("held"), rig.doubts.length, rig.of("accept.failed").length], [1, 0, 1]);
  rig.kernel.fdMax = Infinity;
  rig.pass(1_000);
  assertEquals(rig.count("active"), 1);
});

Deno.test("a drain spares who moved lately, and looks again", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const [silent, busy] = [rig.session(), rig.session()];
  rig.pass(5_000);
  busy.client.send(bytes("x"));
  rig.runTicks();
  rig.execute({ do: "drain", order: { ...DRAIN, graceMs: 1_000, sparedIfMovedMs: 2_000 } });
  rig.pass(900);
  assert(!silent.client.weClosed);
  rig.pass(100);
  assert(silent.client.weReset && silent.upstream.weReset && !busy.client.weClosed);
  busy.client.send(bytes("y"));
  rig.runTicks();
  rig.pass(1_900);
  assert(!busy.client.weClosed);
  rig.pass(2_100);
  assert(busy.client.weReset);
  const { type, reason } = { type: "sessions.cut" as const, reason: "test" };
  assertEquals(rig.of("sessions.cut"), [
    { type, upstream: "a", count: 1, kept: 1, reason },
    { type, upstream: "a", count: 1, kept: 0, reason },
  ]);
  assertEquals(rig.count("cut"), 2);
});

Deno.test("a stop ends the loop when the last session ended, and cuts what is left in time", () => {
  const rig = new Rig();
  rig.open("a", 1);
  const { client, upstream } = rig.session();
  rig.session();
  rig.execute({ do: "stop", drainMs: 1_000 });
  assertEquals(rig.kernel.client(PORT), undefined);
  client.end();
  upstream.end();
  rig.runTicks();
  assertEquals([rig.stopped, rig.count("active")], [undefined, 1]);
  rig.pass(1_000);
  assertEquals([rig.stopped, rig.count("cut"), rig.kernel.open], [1, 0, 0]);
});
